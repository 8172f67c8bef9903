"""Maps over images: what is drawn, and what cannot be."""

import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import attribution_sheet, map_over_image

IMAGES = np.full((2, 4, 4, 3), 0.5, np.float32)


def test_a_map_of_zeros_leaves_the_gray_image():
    over = map_over_image(IMAGES, np.zeros((2, 4, 4)))
    np.testing.assert_allclose(over, 0.5, atol=1e-6)


def test_high_values_are_yellow_and_low_ones_gray():
    maps = np.zeros((2, 4, 4))
    maps[:, 1, 2] = 7.0
    over = map_over_image(IMAGES, maps, strength=1.0)
    red, green, blue = over[0, 1, 2]
    assert red > 0.9
    assert green > 0.9
    assert blue < 0.8
    np.testing.assert_allclose(over[0, 0], 0.5, atol=1e-6)


def test_signs_have_colours_of_their_own():
    maps = np.zeros((2, 4, 4))
    maps[:, 0, 0], maps[:, 3, 3] = 1.0, -1.0
    over = map_over_image(IMAGES[..., :1], maps)
    assert over[0, 0, 0, 0] > over[0, 0, 0, 2]
    assert over[0, 3, 3, 0] < over[0, 3, 3, 2]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((2, 4, 5)), r"maps \(2, 4, 5\) do not fit images: \(2, 4, 4\)"),
        (np.full((2, 4, 4), np.nan), "maps hold NaN or infinity"),
    ],
)
def test_maps_that_cannot_be_drawn(maps, message):
    with pytest.raises(ValueError, match=message):
        map_over_image(IMAGES, maps)


def test_a_sheet_has_a_row_an_image(tmp_path):
    maps = {"one": np.ones((2, 4, 4)), "other": np.eye(4)[None].repeat(2, axis=0)}
    top = [[("cat", 0.9), ("dog", 0.1)], [("dog", 0.7), ("cat", 0.3)]]
    sizes = {}
    for name, options in {
        "bare": {},
        "full": {"titles": ["a", "b"], "top": top, "explained": ["cat", "frog"]},
    }.items():
        path = tmp_path / f"{name}.png"
        attribution_sheet(path, IMAGES, maps, title="Title", **options)
        with Image.open(path) as image:
            sizes[name] = image.size
    assert sizes["full"][0] > sizes["bare"][0] > sizes["bare"][1]


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        ({}, {}, "There are no maps to draw"),
        ({"a": np.ones((2, 4, 4))}, {"titles": ["a"]}, "titles has 1 entries for 2"),
        ({"a": np.ones((2, 4, 4))}, {"top": []}, "top has 0 entries for 2 images"),
        ({"a": np.ones((2, 4, 4))}, {"explained": ["a"]}, "explained has 1 entries"),
    ],
)
def test_sheets_that_cannot_be_drawn(tmp_path, maps, options, message):
    with pytest.raises(ValueError, match=message):
        attribution_sheet(tmp_path / "x.png", IMAGES, maps, **options)
