import numpy as np
import pytest

from jaxcnn.data import EvalData, Source, noisy


@pytest.fixture
def gray():
    return Source("gray", np.full((50, 20, 20, 1), 128, np.uint8))


def test_noise_has_the_asked_deviation_and_clean_targets(gray):
    source = noisy(gray, 0.1, seed=0)
    clean = np.float32(128) / np.float32(255)
    assert source.images.dtype == source.extras["target"].dtype == np.float32
    assert (source.extras["target"] == clean).all()
    noise = source.images - clean
    # 20,000 values: the standard errors are 0.0007 and 0.0005.
    assert abs(noise.mean()) < 0.003
    assert abs(noise.std() - 0.1) < 0.002


def test_noisy_images_stay_in_range(gray):
    images = noisy(gray, 2.0).images
    assert (images.min(), images.max()) == (0, 1)


def test_noise_depends_on_seed_and_position_alone(gray):
    whole = noisy(gray, 0.1, seed=1).images
    np.testing.assert_array_equal(noisy(gray, 0.1, seed=1).images, whole)
    np.testing.assert_array_equal(
        noisy(gray.subset(slice(7)), 0.1, seed=1).images, whole[:7]
    )
    assert (noisy(gray, 0.1, seed=2).images != whole).any(axis=(1, 2, 3)).all()
    assert (whole[0] != whole[1]).any()


def test_float_images_are_taken_as_they_are():
    clean = np.random.default_rng(0).random((3, 4, 4, 1), np.float32)
    source = noisy(Source("floats", clean), 0.1)
    np.testing.assert_array_equal(source.extras["target"], clean)


def test_batches_carry_the_target(gray):
    batch = EvalData(noisy(gray, 0.1), 40)[1]
    assert set(batch) == {"image", "target", "mask"}
    assert batch["target"].shape == (40, 20, 20, 1)


@pytest.mark.parametrize("std", [0, -1.0, float("nan"), float("inf")])
def test_a_bad_deviation_is_refused(gray, std):
    with pytest.raises(ValueError, match=r"std is .*, expected a positive number"):
        noisy(gray, std)
