"""The progress of a style transfer: lines in a file, a bar in a terminal."""

import io

import numpy as np
import pytest

from jaxcnn.interpret import StyleStep
from jaxcnn.interpret.style_progress import StyleProgress
from jaxcnn.plotting import style_curves

LOSSES = {"total": 3.0, "content": 1.0, "style": 2.0}


def step(number):
    return StyleStep(number, 4, (6, 8), LOSSES, lambda: np.zeros((6, 8, 3)))


def test_lines_where_there_is_no_terminal():
    file = io.StringIO()
    with StyleProgress(file=file, every_seconds=0) as progress:
        progress(step(1))
    assert file.getvalue() == "step 1/4  6x8  total 3, content 1, style 2\n"


def test_a_bar_in_a_terminal():
    file = io.StringIO()
    with StyleProgress(file=file, bar=True) as progress:
        for number in range(5):
            progress(step(number))
    assert "4/4" in file.getvalue()
    assert "6x8, total 3" in file.getvalue()


def test_curves(tmp_path):
    losses = {
        "content": [0.0, 1.0, 2.0],
        "style": [3.0, 2.0, 1.0],
        "style/a": [1, 2, 3],
    }
    style_curves(tmp_path / "c.png", losses, [8, 8, 16], title="t")
    assert (tmp_path / "c.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"must hold content and style.*'content': 3"):
        style_curves(tmp_path / "c.png", {"content": [1, 2, 3]})
    with pytest.raises(ValueError, match="sizes has 2 entries for 3 pictures"):
        style_curves(tmp_path / "c.png", losses, [8, 8])
