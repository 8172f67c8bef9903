import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import function_grid

X = np.linspace(-1, 1, 5)
PANELS = {
    "square": {"function": X**2, "derivative": 2 * X},
    "step": {"function": np.where(X < 0, 0.0, np.where(X > 0, 1.0, np.nan))},
}


def test_a_panel_a_function_with_one_legend(tmp_path):
    function_grid(tmp_path / "f.svg", X, PANELS, title="Two", limits=(-2.0, 2.0))
    written = re.findall(r"<!-- (.*?) -->", (tmp_path / "f.svg").read_text())
    for text in ("square", "step", "Two", "function", "derivative"):
        assert written.count(text) == 1, text


def test_columns_make_rows(tmp_path):
    sizes = []
    for columns in (1, 2):
        function_grid(tmp_path / "f.png", X, PANELS, columns=columns)
        with Image.open(tmp_path / "f.png") as image:
            sizes.append(image.size)
    high, wide = sizes
    assert high[0] < high[1]
    assert wide[0] > wide[1]


@pytest.mark.parametrize(
    ("x", "panels", "message"),
    [
        (X, {}, "There are no functions to draw"),
        (X, {"f": {}}, "f has 0 curves: 1 to 3 can be drawn"),
        (X, {"f": dict.fromkeys("abcd", X)}, "f has 4 curves"),
        (X, {"f": {"a": X[:3]}}, r"f: a has the shape \(3,\), x has \(5,\)"),
        (X.reshape(5, 1), {"f": {"a": X.reshape(5, 1)}}, r"two of \[n\] are needed"),
    ],
)
def test_wrong_functions_are_explained(tmp_path, x, panels, message):
    with pytest.raises(ValueError, match=message):
        function_grid(tmp_path / "f.png", x, panels)
