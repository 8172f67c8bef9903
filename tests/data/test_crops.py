"""Encoded images become uint8 pixels of one size, cropped as the papers do."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import RandomResizedCrop, ResizeCrop
from jaxcnn.data.decoding import decode_image


def encoded(pixels, format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def smooth(height, width):
    """Returns a picture whose red grows to the right and green downwards."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([red, green, np.full_like(red, 128)], -1).astype(np.uint8)


def test_evaluation_sees_the_centre_of_the_resized_image():
    crop = ResizeCrop((32, 32), resize=40)
    found = decode_image(encoded(smooth(60, 90)), "RGB", crop)
    resized = Image.fromarray(smooth(60, 90)).resize((60, 40), Image.BILINEAR)
    assert (found == np.asarray(resized)[4:36, 14:46]).all()


def test_evaluation_resizes_to_256_for_224():
    assert ResizeCrop((224, 224)).resize == 256


def test_a_random_part_is_what_its_box_says():
    crop, image = RandomResizedCrop((24, 20), flip=0.0), smooth(60, 90)
    box = crop.box(90, 60, np.random.default_rng(3))
    found = decode_image(encoded(image), "RGB", crop, np.random.default_rng(3))
    part = Image.fromarray(image).crop(box).resize((20, 24), Image.BILINEAR)
    assert found.shape == (24, 20, 3)
    assert abs(found.astype(int) - np.asarray(part)).max() <= 4


def test_boxes_keep_to_area_and_aspect():
    crop, rng = RandomResizedCrop((8, 8)), np.random.default_rng(0)
    boxes = np.array([crop.box(400, 300, rng) for _ in range(500)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 400).all()
    assert (bottom <= 300).all()
    area, aspect = (
        (right - left) * (bottom - top) / 120_000,
        (right - left) / (bottom - top),
    )
    # Sides are whole pixels, which moves both a little over their limits.
    assert 0.078 < area.min() < 0.1
    assert area.max() <= 1
    assert 0.73 < aspect.min() < 0.8
    assert 1.3 < aspect.max() < 1.36


def test_a_long_image_gives_its_centre():
    crop = RandomResizedCrop((8, 8), area=(0.9, 1.0))
    assert crop.box(1000, 10, np.random.default_rng(0)) == (493, 0, 506, 10)


def test_half_of_the_parts_are_mirrored():
    image, crop = encoded(smooth(40, 40)), RandomResizedCrop((8, 8))
    rngs = [np.random.default_rng(seed) for seed in range(200)]
    found = [decode_image(image, "RGB", crop, rng)[4, :, 0] for rng in rngs]
    mirrored = sum(int(row[0]) > int(row[-1]) for row in found)
    assert 70 < mirrored < 130


@pytest.mark.parametrize("crop", [ResizeCrop((30, 30)), RandomResizedCrop((30, 30))])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(crop):
    image = smooth(480, 640)
    png, jpeg = encoded(image), encoded(image, "JPEG", quality=95)
    rngs = [np.random.default_rng(1) for _ in range(2)]
    one, two = (
        decode_image(data, "RGB", crop, rng)
        for data, rng in zip((png, jpeg), rngs, strict=True)
    )
    assert abs(one.astype(int) - two).max() < 6


def test_exif_turns_the_image_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    data = encoded(smooth(40, 40), "JPEG", quality=95, exif=exif)
    found = decode_image(data, "RGB", ResizeCrop((32, 32), resize=32))
    # The column of little red on the left has become the row on top.
    assert found[0, :, 0].mean() < 20 < 200 < found[-1, :, 0].mean()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_images_get_the_channels_asked_for(mode):
    for pixels in (smooth(20, 20), smooth(20, 20)[..., 0]):
        found = decode_image(encoded(pixels), mode, ResizeCrop((8, 8)))
        assert found.shape == (8, 8, len(mode))


def test_more_than_eight_bits_are_refused():
    data = encoded(np.zeros((20, 20), np.uint16))
    with pytest.raises(ValueError, match="more than 8 bits a channel"):
        decode_image(data, "RGB", ResizeCrop((8, 8)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizeCrop((8, 0)), "image_size is (8, 0)"),
        (lambda: ResizeCrop((8, 8), resize=7), "resize is 7, expected"),
        (lambda: RandomResizedCrop((8, 8), area=(0.0, 1.0)), "area is (0.0, 1.0)"),
        (lambda: RandomResizedCrop((8, 8), area=0.5), "area is 0.5, expected"),
        (lambda: RandomResizedCrop((8, 8), aspect=(2, 1)), "aspect is (2, 1)"),
        (lambda: RandomResizedCrop((8, 8), flip=2), "flip is 2, expected"),
    ],
)
def test_bad_crops_are_named(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
