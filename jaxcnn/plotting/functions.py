"""Functions of one number: a panel for each, with a curve for each of its parts."""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, write_figure

_COLOURS = (BLUE, ORANGE, GREEN)


def function_grid(
    path: str | os.PathLike[str],
    x: ArrayLike,
    panels: Mapping[str, Mapping[str, ArrayLike]],
    *,
    columns: int = 5,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> None:
    """Writes one panel a function, such as activations with their derivatives.

    Args:
        path: The file.
        x: Where the curves were computed, `[n]`.
        panels: By the panel's title, up to three curves by their labels, `[n]` each.
            A value that is not a number interrupts a curve.
        columns: Panels in a row.
        limits: The least and greatest value shown, for all panels.
        title: The heading of the whole.

    Raises:
        ValueError: if there are no panels, one has too many curves, or a curve has
            another length than `x`.
    """
    from matplotlib.figure import Figure

    x = np.asarray(x, float)
    _check(x, panels)
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.9 * columns, 1.75 * rows + 0.5), layout="constrained")
    for number, (name, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, number)
        _style(axes, name, x, limits)
        for colour, (label, values) in reversed(
            list(zip(_COLOURS, curves.items(), strict=False))
        ):
            axes.plot(x, values, color=colour, label=label, linewidth=1.6)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles[::-1],
        labels[::-1],
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def _check(x: np.ndarray, panels: Mapping[str, Mapping[str, ArrayLike]]) -> None:
    if not panels:
        raise ValueError("There are no functions to draw.")
    for name, curves in panels.items():
        if not 1 <= len(curves) <= len(_COLOURS):
            raise ValueError(
                f"{name} has {len(curves)} curves: 1 to {len(_COLOURS)} can be drawn."
            )
        for label, values in curves.items():
            if np.shape(values) != x.shape or x.ndim != 1:
                raise ValueError(
                    f"{name}: {label} has the shape {np.shape(values)}, "
                    f"x has {x.shape}: two of [n] are needed."
                )


def _style(
    axes: Any, name: str, x: np.ndarray, limits: tuple[float, float] | None
) -> None:
    axes.set_title(name, fontsize=9, color=INK)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.axvline(0, color=GREY, linewidth=0.7)
    axes.grid(color=LIGHT, linewidth=0.5)
    axes.tick_params(colors=GREY, labelsize=7, length=0)
    axes.set_axisbelow(True)
    axes.set_xlim(x[0], x[-1])
    if limits is not None:
        axes.set_ylim(*limits)
