"""Draws how a train step grows: the picture of the guide, from the newest results.

`python -m benchmarks.growth` measures, `python docs/make_growth.py` draws it.
"""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.growth import START
from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, write_figure

IMAGES = Path(__file__).parent / "images"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
AXES = {
    "batch": "images in a batch",
    "size": "pixels of a side",
    "depth": "layers",
    "devices": "devices",
}


def read_rows() -> list[dict[str, Any]]:
    """Returns the rows of the newest results."""
    newest = max(RESULTS.glob("growth-*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())["rows"]


def along(rows: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Returns the rows of an axis in order; where all start, any axis's row will do."""
    kept = {row[axis]: row for row in rows if row["axis"] == axis}
    base = [
        row
        for row in rows
        if row["axis"] != "devices" and all(row[k] == v for k, v in START.items())
    ]
    if base and axis != "devices":
        kept.setdefault(START[axis], base[0])
    return [kept[value] for value in sorted(kept)]


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Returns a figure of a panel for each axis: times and memory as they grow."""
    figure = Figure(figsize=(9.5, 5.6), layout="constrained")
    for place, (axis, label) in zip(
        figure.subplots(2, 2).flat, AXES.items(), strict=True
    ):
        points = along(rows, axis)
        values = [row[axis] for row in points]
        lines = {
            "compile, s": ([row["compile_seconds"] for row in points], ORANGE),
            "memory, 100 MB a device": (
                [row["peak_bytes"] / 1e8 for row in points],
                GREEN,
            ),
        }
        if axis != "devices":
            lines["step, s"] = ([row["step_seconds"] for row in points], BLUE)
        for name, (heights, colour) in lines.items():
            place.plot(values, heights, "o-", color=colour, label=name, markersize=4)
        place.set(xscale="log", yscale="log")
        place.set_xticks(values, [f"{value}" for value in values])
        place.minorticks_off()
        place.set_xlabel(label, color=INK)
        place.grid(color=LIGHT)
        place.tick_params(colors=GREY)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    write_figure(draw(read_rows()), IMAGES / "growth.png")
