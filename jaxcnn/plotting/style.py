"""The look that all pictures share, and how they become files."""

import io
import os
from typing import Any

# Colours that the colour-blind tell apart: Okabe and Ito, "Color Universal Design",
# 2008, https://jfly.uni-koeln.de/color/.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, GREY, LIGHT = "#222222", "#6F6F6F", "#E4E4E4"


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Writes a figure in the format of the path's ending, nothing cut off."""
    from etils import epath

    target = epath.Path(path)
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format=target.suffix.lstrip(".") or "png",
        dpi=150,
        bbox_inches="tight",
        pad_inches=0.15,
        facecolor="white",
    )
    target.write_bytes(buffer.getvalue())
