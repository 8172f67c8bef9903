"""Learning curves with what is to be seen in them."""

import os
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    PURPLE,
    write_figure,
)

#: Training, then validation.
Points = tuple[Sequence[float], Sequence[float]]


def diagnosed_curves(
    path: str | os.PathLike[str],
    train: Points,
    validation: Points,
    *,
    verdict: str,
    evidence: Sequence[str] = (),
    best: tuple[float, float] | None = None,
    begins: float | None = None,
    ends: tuple[float, float] | None = None,
    chance: float | None = None,
    axis: str = "epoch",
    metric: str = "loss",
    title: str | None = None,
) -> None:
    """Writes both learning curves with the verdict on them, and its evidence below.

    Args:
        path: The file.
        train: Where and what the training metric was; NaN and infinity are left out.
        validation: The same of the validation part; both empty without one.
        verdict: Stands above the curves.
        evidence: Sentences below them.
        best: Where and what the lowest validation value was: is ringed.
        begins: From where on the background is tinted, such as that of overfitting.
        ends: The levels of both at the end: the gap between them is drawn.
        chance: The level of a model that knows nothing: a dashed line, if in reach.
        axis: What the curves are over.
        metric: What they are of.
        title: Stands above the verdict.

    Raises:
        ValueError: if there is no finite training point, or lengths differ.
    """
    from matplotlib.figure import Figure

    train, validation = _finite("train", train), _finite("validation", validation)
    if not len(train[0]):
        raise ValueError("train has no finite point to draw.")
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for (at, values), name, colour in (
        (train, "training", BLUE),
        (validation, "validation", ORANGE),
    ):
        marker = "o" if len(at) <= 30 else None
        if len(at):
            axes.plot(
                at, values, color=colour, label=name, linewidth=1.7, marker=marker, ms=3
            )
    last = max(at[-1] for at, _ in (train, validation) if len(at))
    _scale(axes, np.concatenate([train[1], validation[1]]))
    if begins is not None:
        axes.axvspan(begins, last, color=PURPLE, alpha=0.1, linewidth=0)
        axes.axvline(begins, color=PURPLE, linewidth=1.2, linestyle="--",
                     label=f"from {axis} {begins:g} on")  # fmt: skip
    if best is not None:
        axes.plot(
            *best,
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=INK,
            label=f"lowest, smoothed: {best[1]:.3g}",
        )
    if ends is not None:
        _mark_gap(axes, last, ends)
    if chance is not None and axes.get_ylim()[0] < chance < axes.get_ylim()[1]:
        axes.axhline(chance, color=GREEN, linewidth=1, linestyle=":",
                     label=f"guessing: {chance:.3g}")  # fmt: skip
    _finish(axes, axis, metric)
    figure.suptitle(
        "\n".join(filter(None, [title, verdict[0].upper() + verdict[1:]])),
        fontsize=11,
        color=INK,
        fontweight="bold",
    )
    figure.supxlabel(
        "\n".join(textwrap.fill(sentence, 118) for sentence in evidence),
        fontsize=7.5,
        color=GREY,
        x=0.02,
        ha="left",
    )
    write_figure(figure, path)


def _finite(name: str, points: Any) -> tuple[np.ndarray, np.ndarray]:
    at, values = (np.asarray(part, float) for part in points)
    if at.shape != values.shape:
        raise ValueError(
            f"{name} must hold as many places as values, got {at.size} and "
            f"{values.size}."
        )
    kept = np.isfinite(values)
    return at[kept], values[kept]


def _scale(axes: Any, values: np.ndarray) -> None:
    """Draws over decades where a blow-up would hide all else."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if 0 < 50 * np.median(values) < values.max() and values.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)


def _mark_gap(axes: Any, last: float, ends: tuple[float, float]) -> None:
    """Draws a bracket between the levels that the curves end at."""
    low, high = sorted(ends)
    axes.annotate(
        "",
        xy=(last, low),
        xytext=(last, high),
        arrowprops={"arrowstyle": "|-|", "color": INK, "shrinkA": 0, "shrinkB": 0,
                    "mutation_scale": 3},
    )  # fmt: skip
    axes.annotate(
        f"gap {high - low:.2g} ",
        xy=(last, (low + high) / 2),
        fontsize=8,
        color=INK,
        ha="right",
        va="center",
    )


def _finish(axes: Any, axis: str, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", colors=GREY, labelsize=8)
    axes.grid(axis="y", color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel(axis.capitalize(), color=INK, fontsize=9)
    axes.set_ylabel(metric.capitalize(), color=INK, fontsize=9)
    axes.legend(fontsize=8, labelcolor=INK, loc="best", edgecolor="none")
