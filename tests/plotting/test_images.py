import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import comparison_grid, image_grid, prediction_grid

ORANGE = (0xD5, 0x5E, 0x00)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def texts(path):
    """Returns the texts of an SVG, which Matplotlib keeps as comments."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def count(picture, colour):
    return (picture == np.array(colour)).all(axis=-1).sum()


@pytest.fixture
def images():
    """Six images of one grey each: 0.0, 0.2, ... 1.0."""
    levels = np.linspace(0, 1, 6, dtype=np.float32)
    return np.broadcast_to(levels[:, None, None, None], (6, 4, 4, 1))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x[..., 0],
        lambda x: (255 * x).astype(np.uint8),
        lambda x: np.repeat(x, 3, axis=3),
        jnp.asarray,
        lambda x: x.astype(np.float64),
    ],
    ids=["NHWC", "NHW", "uint8", "RGB", "jax", "float64"],
)
def test_every_image_is_drawn_in_its_grey(tmp_path, images, convert):
    image_grid(tmp_path / "grid.png", convert(images))
    picture = read(tmp_path / "grid.png")
    for level in (0, 51, 102, 153, 204):
        assert count(picture, (level,) * 3) > 10_000
    assert picture.shape[1] > picture.shape[0]


def test_values_outside_the_range_are_clipped(tmp_path):
    images = np.array([-3.0, 5.0]).reshape(2, 1, 1) * np.ones((2, 4, 4))
    image_grid(tmp_path / "grid.png", images)
    assert count(read(tmp_path / "grid.png"), (0, 0, 0)) > 10_000


def test_channels_are_red_green_blue(tmp_path):
    images = np.eye(3, dtype=np.float32)[:, None, None, :] * np.ones((3, 4, 4, 1))
    image_grid(tmp_path / "grid.png", images)
    picture = read(tmp_path / "grid.png")
    for colour in 255 * np.eye(3, dtype=int):
        assert count(picture, colour) > 10_000


@pytest.mark.parametrize(("columns", "wide"), [(1, False), (3, True), (6, True)])
def test_columns(tmp_path, images, columns, wide):
    image_grid(tmp_path / "grid.png", images, columns=columns)
    height, width, _ = read(tmp_path / "grid.png").shape
    assert (width > height) == wide


def test_pixels_keep_their_shape(tmp_path):
    image_grid(tmp_path / "grid.png", np.zeros((1, 10, 30)))
    rows, columns = np.nonzero((read(tmp_path / "grid.png") == 0).all(axis=-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 2.9 < width / height < 3.2


def test_wrong_images_are_framed(tmp_path, images):
    path = tmp_path / "grid.png"
    image_grid(path, images, list("abcdef"), correct=[True] * 6)
    assert count(read(path), ORANGE) == 0
    image_grid(path, images, correct=[True] * 5 + [False])
    one = count(read(path), ORANGE)
    image_grid(path, images, correct=[True] * 4 + [False] * 2)
    assert one > 500
    assert 1.8 < count(read(path), ORANGE) / one < 2.2


def test_texts_are_written(tmp_path, images):
    path = tmp_path / "grid.svg"
    notes = [f"note {i}" for i in range(6)]
    image_grid(path, images, list("abcdef"), notes=notes, title="Six", subtitle="greys")
    assert set(texts(path)) >= {*"abcdef", *notes, "Six", "greys"}


def test_texts_are_not_cut_off(tmp_path):
    path = tmp_path / "grid.png"
    image_grid(path, np.zeros((1, 4, 4)), title="A heading much wider than one image")
    ink = (read(path) < 128).any(axis=-1)
    assert ink.any()
    for border in (ink[:5], ink[-5:], ink[:, :5], ink[:, -5:]):
        assert not border.any()


def test_predictions_are_named_and_wrong_ones_say_the_truth(tmp_path, images):
    probabilities = np.array([[0.9, 0.1], [0.25, 0.75]])[[0, 0, 1, 1, 0, 1]]
    labels = np.array([0, 0, 1, 1, 1, 1])
    arguments = {"class_names": ["cat", "dog"], "title": "Pets"}
    prediction_grid(tmp_path / "grid.svg", images, labels, probabilities, **arguments)
    written = texts(tmp_path / "grid.svg")
    assert written.count("cat") == written.count("dog") == 3
    assert written.count("90%") == 2
    assert written.count("75%") == 3
    assert written.count("90%, is dog") == 1
    assert "Pets" in written
    assert any("5 of 6 right; wrong ones are framed" in text for text in written)


def test_predictions_without_names_or_mistakes(tmp_path, images):
    path = tmp_path / "grid.svg"
    prediction_grid(path, images, np.arange(6), jnp.eye(6))
    written = texts(path)
    assert {*"012345", "100%"} <= set(written)
    assert any(text.endswith("6 of 6 right.") for text in written)


def test_comparison_draws_rows_with_labels_and_notes(tmp_path, images):
    rows = {"clean": images, "noisy": images**2}
    arguments = {"notes": {"noisy": [f"{i} dB" for i in range(6)]}, "title": "Noise"}
    comparison_grid(tmp_path / "rows.svg", rows, **arguments, subtitle="squared")
    expected = {"clean", "noisy", "0 dB", "5 dB", "Noise", "squared"}
    assert set(texts(tmp_path / "rows.svg")) >= expected
    comparison_grid(tmp_path / "rows.png", rows)
    picture = read(tmp_path / "rows.png")
    assert picture.shape[1] > 2.5 * picture.shape[0]
    assert count(picture, (51,) * 3) > 10_000  # 0.2 of the first row
    assert count(picture, (92,) * 3) > 10_000  # 0.6 squared, of the second


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".jpg"])
def test_the_ending_says_the_format(tmp_path, images, suffix):
    path = tmp_path / f"grid{suffix}"
    image_grid(str(path), images)
    starts = {".pdf": b"%PDF", ".svg": b"<?xml", ".jpg": b"\xff\xd8"}
    assert path.read_bytes().startswith(starts[suffix])


def test_another_ending_is_refused(tmp_path, images):
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        image_grid(tmp_path / "grid.xyz", images)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 4)), r"images \(4, 4\) cannot be drawn: \[n, height, width\]"),
        (np.zeros((2, 4, 4, 2)), r"images \(2, 4, 4, 2\) .* of 1 or 3 channels"),
        (np.zeros((0, 4, 4)), r"images \(0, 4, 4\) are empty"),
        (np.zeros((2, 0, 4)), r"images \(2, 0, 4\) are empty"),
        (np.zeros((2, 4, 4), int), "images of type int64 cannot be drawn"),
    ],
)
def test_refuses_images(tmp_path, bad, message):
    for draw in (image_grid, lambda path, images: comparison_grid(path, {"a": images})):
        with pytest.raises(ValueError, match=message):
            draw(tmp_path / "grid.png", bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"titles": ["a"]}, "titles has 1 entries for 6 images"),
        ({"notes": ["a"] * 7}, "notes has 7 entries for 6 images"),
        ({"correct": []}, "correct has 0 entries for 6 images"),
        ({"columns": 0}, "columns=0 must be 1 or more"),
    ],
)
def test_refuses_arguments(tmp_path, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        image_grid(tmp_path / "grid.png", images, **arguments)


@pytest.mark.parametrize(
    ("labels", "probabilities", "arguments", "message"),
    [
        ([0] * 6, np.ones(6), {}, r"labels \(6,\) and probabilities \(6,\) do not fit"),
        ([0] * 5, np.ones((6, 2)), {}, r"labels \(5,\) and probabilities \(6, 2\)"),
        ([0] * 5, np.ones((5, 2)), {}, "titles has 5 entries for 6 images"),
        (
            [0] * 6,
            np.ones((6, 2)),
            {"class_names": ["a"]},
            "class_names has 1 entries for 2 classes",
        ),
        ([2] * 6, np.ones((6, 2)), {}, "The label 2 is none of the 2 classes"),
        ([-1] * 6, np.ones((6, 2)), {}, "The label -1 is none of the 2 classes"),
    ],
)
def test_refuses_predictions(
    tmp_path, images, labels, probabilities, arguments, message
):
    with pytest.raises(ValueError, match=message):
        prediction_grid(
            tmp_path / "grid.png", images, labels, probabilities, **arguments
        )


@pytest.mark.parametrize(
    ("lengths", "notes", "message"),
    [
        ({}, {}, "There are no rows of images"),
        (
            {"a": 6, "b": 5},
            {},
            r"different lengths cannot be compared: {'a': 6, 'b': 5}",
        ),
        (
            {"noisy": 6},
            {"nosy": ["x"] * 6},
            r"notes of 'nosy' belong to no row\. Did you mean 'noisy'\?",
        ),
        ({"a": 6}, {"a": ["x"]}, "notes of 'a' has 1 entries for 6 images"),
    ],
)
def test_refuses_rows(tmp_path, images, lengths, notes, message):
    rows = {label: images[:length] for label, length in lengths.items()}
    with pytest.raises(ValueError, match=message):
        comparison_grid(tmp_path / "rows.png", rows, notes=notes)


@pytest.mark.thorough
def test_loads_matplotlib_on_use_and_never_pyplot(tmp_path):
    code = """
import sys
import numpy as np
import jaxcnn.plotting as plotting
assert "matplotlib" not in sys.modules
plotting.image_grid(sys.argv[1], np.zeros((1, 4, 4)))
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    path = tmp_path / "grid.png"
    subprocess.run([sys.executable, "-c", code, path], check=True)
    assert path.stat().st_size > 0
