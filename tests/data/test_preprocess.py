import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess, to_float

IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.uint8(255), 1.0),
        (np.uint8(51), 0.2),
        (np.uint16(65535), 1.0),
        (np.float32(0.3), 0.3),
    ],
)
def test_integers_are_divided_by_their_maximum_and_floats_pass(value, expected):
    found = to_float(np.full((1, 1, 1, 1), value))
    assert found.dtype == jnp.float32
    assert float(found[0, 0, 0, 0]) == pytest.approx(expected, rel=1e-6)


def test_mean_and_deviation_by_hand():
    config = PreprocessConfig(mean=(0.5, 0.0, 0.0), std=(0.25, 1.0, 2.0))
    images = np.full((1, 1, 1, 3), 255, np.uint8)
    found = make_preprocess(config)(images)
    np.testing.assert_allclose(found[0, 0, 0], [2.0, 1.0, 0.5], rtol=1e-6)


def test_without_a_configuration_images_are_only_scaled():
    np.testing.assert_array_equal(make_preprocess(None)(IMAGES), to_float(IMAGES))


def test_bgr_turns_the_channels_round():
    found = make_preprocess(PreprocessConfig(channel_order="BGR"))(IMAGES)
    np.testing.assert_array_equal(found, to_float(IMAGES)[..., ::-1])


def test_resizing_keeps_a_constant_and_the_channels():
    preprocess = make_preprocess(PreprocessConfig(size=(8, 6)))
    found = preprocess(np.full((2, 4, 4, 3), 51, np.uint8))
    assert found.shape == (2, 8, 6, 3)
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)


def test_it_compiles_and_survives_json():
    config = PreprocessConfig((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), (2, 2), "BGR")
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert PreprocessConfig.from_json(values) == config
    preprocess = make_preprocess(config)
    compiled = jax.jit(preprocess)(IMAGES)
    np.testing.assert_allclose(compiled, preprocess(IMAGES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.1,), "std": ()}, "mean has 1 channels and std 0"),
        ({"mean": (0.1,), "std": (0.0,)}, "std must be above 0 in every channel"),
        ({"mean": 0.1, "std": 0.2}, "mean must be a tuple of numbers, got 0.1"),
        ({"size": (28,)}, r"size must be \(height, width\), got \(28,\)"),
        ({"size": (0, 28)}, r"size must be \(height, width\), got \(0, 28\)"),
        ({"crop": (0, 28)}, r"crop must be \(height, width\), got \(0, 28\)"),
        ({"crop": 28}, "crop must be a tuple of numbers, got 28"),
        ({"resize": 0}, "resize must be a whole number of at least 1, got 0"),
        ({"resize": 8, "size": (8, 8)}, "size and resize exclude each other"),
        ({"interpolation": "cubic"}, r"interpolation must be one of .*'cubic'\. Did"),
        ({"channel_order": "RBG"}, "channel_order must be 'RGB' or 'BGR', got 'RBG'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**options)


def test_whatever_holds_a_configuration_is_taken_for_it():
    class Holder:
        preprocess = PreprocessConfig(channel_order="BGR")

    found = make_preprocess(Holder())(IMAGES)
    np.testing.assert_array_equal(found, to_float(IMAGES)[..., ::-1])


def test_images_of_other_channels():
    preprocess = make_preprocess(PreprocessConfig((0.1,), (1.0,)))
    with pytest.raises(ValueError, match="have 3 channels, the preprocessing has 1"):
        preprocess(IMAGES)


def test_images_without_height_and_width_are_not_resized():
    preprocess = make_preprocess(PreprocessConfig(size=(8, 8)))
    with pytest.raises(ValueError, match=r"size needs images .* got \[2, 5, 3\]"):
        preprocess(np.zeros((2, 5, 3), np.uint8))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_wide_integers_are_refused(dtype):
    with pytest.raises(ValueError, match=r"images are u?int32; give uint8"):
        to_float(np.zeros((1, 2, 2, 1), dtype))


@pytest.mark.parametrize(
    "values",
    [
        {"mean": "abc", "std": "abc"},
        {"std": (float("nan"),), "mean": (0.0,)},
        {"size": (2.5, 3)},
        {"crop": "ab"},
        {"interpolation": []},
    ],
)
def test_values_that_are_no_numbers(values):
    with pytest.raises(ValueError, match=f"{next(iter(values))} must be"):
        PreprocessConfig(**values)
