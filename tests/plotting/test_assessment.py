import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import confusion_heat_map, ranking_curves, reliability_diagram


@pytest.mark.thorough
def test_an_empty_bin_is_left_out(tmp_path):
    empty = float("nan")
    path = tmp_path / "a.png"
    reliability_diagram(path, [0, 0.5, 1], [empty, 0.9], [empty, 0.7], [0, 10])
    with Image.open(path) as image:
        assert image.width > 300


@pytest.mark.thorough
def test_the_curves_are_side_by_side(tmp_path):
    curves = ([0, 0, 1], [0, 1, 1]), ([1, 1, 0.5], [0, 1, 1])
    path = tmp_path / "a.png"
    ranking_curves(path, *curves, positives=0.5, at=(0, 1, 1))
    with Image.open(path) as image:
        assert image.width > 1.5 * image.height
        ring = np.asarray(image.convert("RGB")).reshape(-1, 3) == (0xD5, 0x5E, 0)
    assert ring.all(axis=1).any()


@pytest.mark.thorough
def test_a_matrix_with_an_absent_class(tmp_path):
    path = tmp_path / "a.png"
    confusion_heat_map(path, [[3, 1], [0, 0]])
    with Image.open(path) as image:
        assert image.width > 300


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda p: confusion_heat_map(p, np.ones((2, 3))), r"got shape \(2, 3\)"),
        (
            lambda p: reliability_diagram(p, [0, 1], [0.5], [0.5, 1], [3]),
            "those of 1 bins; there are 1 confidences, 2 hits and 1 counts",
        ),
    ],
)
def test_bad_input(draw, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "a.png")
