import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import (
    feature_map_grid,
    mosaic,
    receptive_field_picture,
    scatter_map,
)

ORANGE, BLUE = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def texts(path):
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def count(picture, colour):
    return (picture == np.array(colour)).all(axis=-1).sum()


def test_every_map_has_its_own_range(tmp_path):
    maps = np.zeros((1, 2, 3))
    maps[0, :, 0] = -7, -5
    maps[0, :, 2] = 0, 100
    feature_map_grid(tmp_path / "maps.png", maps, channels=[0, 2])
    picture = read(tmp_path / "maps.png")
    # Two maps, each half black and half white.
    black = count(picture, (0, 0, 0))
    feature_map_grid(tmp_path / "one.png", maps, channels=[0])
    assert black == pytest.approx(2 * count(read(tmp_path / "one.png"), (0, 0, 0)), 0.1)
    assert black > 1000


def test_channels_are_named(tmp_path):
    feature_map_grid(tmp_path / "maps.svg", np.ones((2, 2, 9)), channels=[8, 3])
    assert texts(tmp_path / "maps.svg")[:2] == ["8", "3"]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 2), {}, r"maps \(2, 2\) cannot be drawn"),
        (
            (2, 2, 3),
            {"channels": [1, 3]},
            r"channels \[3\] cannot be drawn: there are 3",
        ),
        ((2, 2, 3), {"channels": []}, r"channels \[\] cannot be drawn"),
    ],
)
def test_map_errors(tmp_path, shape, options, message):
    with pytest.raises(ValueError, match=message):
        feature_map_grid(tmp_path / "maps.png", np.zeros(shape), **options)


def test_a_mosaic_has_its_images_in_their_places(tmp_path):
    levels = np.array([[0, 51], [102, 204]], np.uint8)
    images = np.broadcast_to(levels[..., None, None, None], (2, 2, 4, 4, 1))
    mosaic(tmp_path / "m.png", images)
    picture = read(tmp_path / "m.png")
    height, width = picture.shape[:2]
    quarter = picture[height // 4 :: height // 2, width // 4 :: width // 2, 0][:2, :2]
    assert quarter.tolist() == levels.tolist()


def test_a_mosaic_has_coordinates(tmp_path):
    images = np.zeros((3, 3, 2, 2, 1))
    options = {"across": (-1, 1), "up": (5, 9), "labels": ("width", "height")}
    mosaic(tmp_path / "m.svg", images, **options)
    found = texts(tmp_path / "m.svg")
    expected = ["-1.0", "0.0", "1.0", "width", "9.0", "7.0", "5.0", "height"]
    assert [text.replace("\u2212", "-") for text in found] == expected
    with pytest.raises(ValueError, match=r"images \(3, 2, 2, 1\) are no mosaic"):
        mosaic(tmp_path / "m.png", images[0])


def test_boxes_are_framed_on_the_image_and_on_the_fields(tmp_path):
    image = np.ones((8, 8, 3))
    boxes = {"first": ((2, 4), (2, 4)), "second": ((0, 7), (0, 7))}
    receptive_field_picture(tmp_path / "one.png", image, boxes)
    plain = read(tmp_path / "one.png")
    assert count(plain, ORANGE) > 100
    assert count(plain, BLUE) > 100
    fields = {"second": np.eye(8)}
    notes = {"second": "can see 8"}
    receptive_field_picture(tmp_path / "two.svg", image, boxes, fields, notes=notes)
    found = texts(tmp_path / "two.svg")
    assert {"first", "second", "can see 8", "What a unit can see"} <= set(found)


@pytest.mark.parametrize(
    ("boxes", "fields", "notes", "message"),
    [
        ({}, {}, {}, "no receptive fields"),
        ({"a": ((0, 1), (0, 1))}, {"b": np.eye(8)}, {}, "'b' has no box: there are a"),
        ({"a": ((0, 1), (0, 1))}, {}, {"b": "x"}, "'b' has no box"),
        ({"a": ((0, 1), (0, 1))}, {"a": np.eye(3)}, {}, r"of 'a' is \(3, 3\), .*8, 8"),
    ],
)
def test_field_errors(tmp_path, boxes, fields, notes, message):
    with pytest.raises(ValueError, match=message):
        receptive_field_picture(
            tmp_path / "x.png", np.ones((8, 8, 1)), boxes, fields, notes=notes
        )


def test_points_have_the_colours_of_their_classes(tmp_path):
    points, labels = [[k, k % 3] for k in range(10)], [0] * 9 + [1]
    scatter_map(tmp_path / "x.png", points, labels, axes_labels=("a", "b"))
    picture = read(tmp_path / "x.png")
    assert count(picture, BLUE) > 1.3 * count(picture, ORANGE) > 50
    scatter_map(tmp_path / "x.svg", points, labels, class_names=["cat", "dog"])
    found = texts(tmp_path / "x.svg")
    assert found == ["cat", "dog"]  # an axis without a label has no numbers


@pytest.mark.parametrize(
    ("points", "labels", "names", "message"),
    [
        (np.zeros((3, 3)), None, None, r"points \(3, 3\) cannot be drawn"),
        (np.zeros((0, 2)), None, None, r"points \(0, 2\) cannot be drawn"),
        (np.zeros((3, 2)), [0, 1], None, r"labels \(2,\) do not fit 3 points"),
        (np.zeros((3, 2)), [0, 1, 2], ["a", "b"], "label 2 is no class"),
        (np.zeros((3, 2)), [0, -1, 2], None, "label -1 is no class"),
    ],
)
def test_scatter_errors(tmp_path, points, labels, names, message):
    with pytest.raises(ValueError, match=message):
        scatter_map(tmp_path / "x.png", points, labels, class_names=names)
