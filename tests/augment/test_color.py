"""Colours, filters and histograms against answers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import color, filters, histogram
from jaxcnn.augment.erasing import erase


def pixel(*values):
    return jnp.array(values, jnp.float32).reshape(1, 1, 1, -1)


def one(value):
    return jnp.array([value], jnp.float32)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (color.brightness(pixel(0.2, 0.4, 0.8), one(1.5)), [0.3, 0.6, 1.0]),
        # Of one pixel the mean gray is its own: 0.299 * 1 + 0.587 * 0.5 + 0.114 * 0.
        (color.contrast(pixel(1, 0.5, 0), one(0.0)), [0.5925] * 3),
        (color.saturation(pixel(1, 0.5, 0), one(0.5)), [0.79625, 0.54625, 0.29625]),
        (color.gray(pixel(1, 1, 1)), [1, 1, 1]),
        (color.gray(pixel(0, 1, 0)), [0.587] * 3),
        # Red, a third of the circle on, is green; a half, cyan.
        (color.hue(pixel(1, 0, 0), one(1 / 3)), [0, 1, 0]),
        (color.hue(pixel(1, 0, 0), one(0.5)), [0, 1, 1]),
        (color.hue(pixel(0.8, 0.4, 0.2), one(0.0)), [0.8, 0.4, 0.2]),
        (color.hue(pixel(0.3, 0.3, 0.3), one(0.4)), [0.3, 0.3, 0.3]),
        (color.invert(pixel(0.2, 0.4, 0.8)), [0.8, 0.6, 0.2]),
        (color.solarize(pixel(0.2, 0.5, 0.8), one(0.5)), [0.2, 0.5, 0.2]),
        # 200 = 0b11001000 leaves 0b11000000 = 192 of two bits; 255 leaves 192 too.
        (color.posterize(pixel(200 / 255, 1, 0), one(2)), [192 / 255, 192 / 255, 0]),
        (color.posterize(pixel(0.123, 0.9, 0), one(8)), [0.123, 0.9, 0]),
    ],
)
def test_by_hand(found, expected):
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-6)


def test_one_channel_has_no_colour():
    image = pixel(0.3)
    np.testing.assert_array_equal(color.saturation(image, one(0.1)), image)
    np.testing.assert_array_equal(color.hue(image, one(0.1)), image)


@pytest.mark.thorough
def test_sharpness_leaves_the_border():
    image = jnp.zeros((1, 3, 4, 1)).at[0, 1, 1].set(0.13)
    smooth = filters.sharpness(image, one(0.0))[0, ..., 0]
    expected = np.zeros((3, 4))
    expected[1, 1:3] = 0.05, 0.01
    np.testing.assert_allclose(smooth, expected, atol=1e-6)
    np.testing.assert_allclose(filters.sharpness(image, one(1.0)), image, atol=1e-6)


@pytest.mark.thorough
def test_blur_spreads_a_point_and_keeps_a_plane():
    image = jnp.zeros((2, 9, 9, 1)).at[:, 4, 4].set(1.0)
    result = np.asarray(filters.gaussian_blur(image, jnp.array([1e-2, 1.0]), 3))
    np.testing.assert_allclose(result[0], image[0], atol=1e-6)
    ratio = result[1, 4, 4] / result[1, 4, 5]
    np.testing.assert_allclose(ratio, np.exp(0.5), rtol=1e-5)
    flat = jnp.full((1, 2, 3, 1), 0.4)  # narrower than the kernel
    np.testing.assert_allclose(
        filters.gaussian_blur(flat, one(2.0), 6), flat, rtol=1e-6
    )


def test_autocontrast_stretches_each_channel():
    image = jnp.array([[0.2, 0.5], [0.4, 0.5], [0.6, 0.5]]).reshape(1, 1, 3, 2)
    expected = [[0, 0.5], [0.5, 0.5], [1, 0.5]]
    np.testing.assert_allclose(histogram.autocontrast(image)[0, 0], expected, atol=1e-6)


@pytest.mark.thorough
def test_equalize_by_hand():
    # 255 pixels of 10, 255 of 20 and 255 of 30: the step is 510 // 255 = 2, and with
    # 1 added for rounding 10 becomes (0 + 1) // 2 = 0, 20 (255 + 1) // 2 = 128 and 30
    # (510 + 1) // 2 = 255.
    image = jnp.repeat(jnp.array([10.0, 20, 30]) / 255, 255).reshape(1, 15, 51, 1)
    result = 255 * histogram.equalize(image).reshape(3, 255)
    np.testing.assert_allclose(
        result, np.repeat([[0], [128], [255]], 255, 1), atol=1e-4
    )
    # Fewer than 255 pixels below the highest value: nothing to spread.
    few = image[:, :3]
    np.testing.assert_array_equal(histogram.equalize(few), few)


@pytest.mark.thorough
def test_erase_paints_a_box():
    image = jnp.ones((2, 3, 4, 1))
    boxes = jnp.array([[1, 0, 3, 2], [2, 2, 2, 2]])
    result = np.asarray(erase(image, boxes, 0.5))
    assert (result[1] == 1).all()
    expected = [[1, 0.5, 0.5, 1], [1, 0.5, 0.5, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(result[0, ..., 0], expected)
