"""Resizing and cropping against Pillow and torchvision's rules."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.data.resample import centre_crop_start, resize_and_crop, resized_shape

METHODS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def check_against_pillow(image, resize, crop, interpolation, rarely):
    """Compares every pixel: equal, or a level of 255 apart where a sum ends at a half.

    There Pillow's rounding of its weights to 22 bits decides, and ours to float32. Such
    halves are frequent only where sizes have a ratio of small numbers.
    """
    height, width = resized_shape(*image.shape[:2], resize)
    pillow = Image.fromarray(image).resize((width, height), METHODS[interpolation])
    top, left = centre_crop_start(height, crop), centre_crop_start(width, crop)
    box = (left, top, left + crop, top + crop)
    expected = np.asarray(pillow.crop(box), np.float32)
    config = PreprocessConfig(
        resize=resize, crop=(crop, crop), interpolation=interpolation
    )
    found = 255 * np.asarray(jax.jit(make_preprocess(config))(image[None])[0])
    difference = np.abs(found - expected)
    assert difference.max() < 1.001
    assert (difference > 0.01).mean() < rarely


@pytest.mark.parametrize("interpolation", METHODS)
@pytest.mark.parametrize(
    ("size", "resize", "crop"),
    [((40, 61), 20, 16), ((61, 40), 17, 17), ((33, 30), 29, 24), ((9, 14), 20, 18)],
)
def test_random_pixels_as_pillow(size, resize, crop, interpolation):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    check_against_pillow(image, resize, crop, interpolation, rarely=0.03)


@pytest.mark.thorough
@pytest.mark.skipif("JAXCNN_TEST_DATA" not in os.environ, reason="no photographs")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (232, 224), (342, 299)])
def test_photographs_as_pillow(resize, crop, interpolation):
    files = sorted((Path(os.environ["JAXCNN_TEST_DATA"]) / "photos").iterdir())
    assert len(files) == 4
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        check_against_pillow(pixels, resize, crop, interpolation, rarely=5e-3)


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [((300, 451), 256, (256, 384)), ((451, 300), 256, (384, 256)), ((7, 7), 3, (3, 3))],
)
def test_the_longer_side_is_rounded_down(size, resize, expected):
    assert resized_shape(*size, resize) == expected


@pytest.mark.parametrize(
    ("size", "crop", "start"),
    [
        (10, 10, 0),
        (10, 7, 2),
        (10, 5, 2),
        (11, 4, 4),
        (9, 4, 2),
        (4, 9, -2),
        (3, 9, -3),
    ],
)
def test_where_a_crop_begins(size, crop, start):
    """Halves to even: 1.5 is 2, 2.5 is 2, 3.5 is 4; padding has the half behind."""
    assert centre_crop_start(size, crop) == start


def test_zeros_come_in_around_an_image_that_is_smaller_than_the_crop():
    images = np.full((1, 3, 6, 1), 7, np.uint8)
    found = np.asarray(resize_and_crop(images, (3, 6), (6, 4)))[0, ..., 0]
    expected = np.zeros((6, 4))
    expected[1:4] = 7
    np.testing.assert_array_equal(found, expected)


def test_floats_are_not_rounded():
    images = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    found = resize_and_crop(images, (4, 4))
    whole = resize_and_crop((images * 255).astype(np.uint8), (4, 4))
    assert (np.asarray(whole) % 1 == 0).all()
    assert (np.asarray(found) * 255 % 1 != 0).any()
    np.testing.assert_allclose(found * 255, whole, atol=2)


def test_images_of_their_size_pass():
    images = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 1), np.uint8)
    np.testing.assert_array_equal(resize_and_crop(images, (5, 6)), images)
    found = resize_and_crop(images, (5, 6), (3, 4))
    np.testing.assert_array_equal(found, images[:, 1:4, 1:5])
