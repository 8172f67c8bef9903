import numpy as np
import pytest

from jaxcnn.data import load_source
from jaxcnn.data.resize import resize_image, resized


def test_digits_are_scikit_learns_scans_enlarged():
    sources = [load_source("digits", split) for split in ("train", "test")]
    assert [len(source) for source in sources] == [1437, 360]
    for source in sources:
        assert source.images.dtype == np.uint8
        assert source.image_shape == (28, 28, 1)
        assert source.class_names == tuple("0123456789")
        assert source.images.max() == 255
        counts = np.bincount(source.labels) / len(source)
        assert (abs(counts - 0.1) < 0.004).all()


def test_the_split_is_fixed_and_disjoint():
    train, test = (load_source("digits", split) for split in ("train", "test"))
    # Recorded: every release must test on the same digits.
    assert test.labels[:12].tolist() == [2, 3, 4, 5, 8, 6, 7, 0, 3, 9, 0, 5]
    ours = {image.tobytes() for image in train.images}
    assert not ours & {image.tobytes() for image in test.images}


def test_there_is_no_validation_split_but_a_hint():
    with pytest.raises(
        ValueError, match=r"no split 'validation'.*validation=0.1 carve"
    ):
        load_source("digits", "validation")
    with pytest.raises(ValueError, match=r"no split 'tets'\. Did you mean 'test'\?"):
        load_source("digits", "tets")


def test_resize_keeps_constants_and_the_channel_order():
    image = np.broadcast_to(np.array([10, 20, 30], np.uint8), (4, 6, 3))
    large = resize_image(image, (9, 8))
    assert large.shape == (9, 8, 3)
    assert (large == [10, 20, 30]).all()


def test_resize_is_bilinear():
    image = np.array([[0, 100]], np.uint8)[..., None]
    # Centres of the four pixels lie at -1/4, 1/4, 3/4 and 5/4 of the way.
    assert resize_image(image, (1, 4)).ravel().tolist() == [0, 25, 75, 100]


def test_only_bytes_are_resized(make_source):
    source = make_source()
    assert resized(source, (2, 2)) is source
    assert resized(source, (4, 6)).image_shape == (4, 6, 1)
    floats = make_source().images.astype(np.float32)
    with pytest.raises(ValueError, match="are float32; only uint8 images are resized"):
        resized(type(source)("floats", floats), (4, 4))
