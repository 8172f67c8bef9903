"""The picture of learning curves with their verdict."""

import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import diagnosed_curves

AT = np.arange(1, 11)


def test_both_curves_are_drawn_with_marks(tmp_path):
    path = tmp_path / "picture.png"
    train, validation = 2 / AT, 1 / AT + 0.05 * AT
    marks = {"best": (4.0, 0.45), "begins": 4.0, "ends": (0.2, 0.6), "chance": 1.5}
    diagnosed_curves(path, (AT, train), (AT, validation), verdict="overfitting",
                     evidence=["One.", "Two."], title="cnn", **marks)  # fmt: skip
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ("#0072B2", "#D55E00"):
        wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(pixels - np.array(wanted)).max(axis=1) < 8).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_values_that_are_not_finite_and_no_validation_are_drawn(tmp_path, broken):
    values = np.array([2.0, 300.0, 8e4, broken])
    path = tmp_path / "picture.png"
    diagnosed_curves(path, (AT[:4], values), ([], []), verdict="diverging")
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (([1, 2], [np.nan, np.inf]), "no finite point"),
        (([1, 2], [1.0]), "as many places as values, got 2 and 1"),
    ],
)
def test_curves_that_cannot_be_drawn_are_named(tmp_path, train, message):
    with pytest.raises(ValueError, match=message):
        diagnosed_curves(tmp_path / "a.png", train, ([], []), verdict="diverging")
