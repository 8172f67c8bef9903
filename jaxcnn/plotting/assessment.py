"""How good a classifier is: reliability, ROC and precision-recall, a large matrix."""

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.style import BLUE, GREY, INK, LIGHT, ORANGE, write_figure


def reliability_diagram(
    path: str | os.PathLike[str],
    edges: ArrayLike,
    confidence: ArrayLike,
    hits: ArrayLike,
    counts: ArrayLike,
    *,
    what: str = "Confidence",
) -> None:
    """Writes what share came true of what was said how surely, and how often it was.

    Below lies the histogram of what was said. On the diagonal a model is calibrated.

    Args:
        path: The file.
        edges: Of the bins, `[bins + 1]`.
        confidence: Mean of what was said in every bin, `[bins]`, `nan` if empty.
        hits: Share that came true in every bin, `[bins]`, `nan` if empty.
        counts: Examples in every bin, `[bins]`.
        what: What is on the axis.

    Raises:
        ValueError: if the lengths do not fit.
    """
    from matplotlib.figure import Figure

    edges, counts = np.asarray(edges, float), np.asarray(counts, float)
    confidence, hits = np.asarray(confidence, float), np.asarray(hits, float)
    if not len(edges) - 1 == len(confidence) == len(hits) == len(counts):
        raise ValueError(
            f"{len(edges)} edges are those of {len(edges) - 1} bins; there are "
            f"{len(confidence)} confidences, {len(hits)} hits and {len(counts)} counts."
        )
    figure = Figure(figsize=(4.2, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    some = counts > 0
    widths = np.diff(edges)
    above.bar(edges[:-1][some], hits[some], widths[some], align="edge", color=LIGHT)
    above.plot(confidence[some], hits[some], "o-", color=BLUE, ms=4, linewidth=1.5)
    above.set(xlim=(0, 1), ylim=(0, 1))
    above.set_ylabel("Share that came true", color=INK, fontsize=9)
    below.bar(edges[:-1], counts, widths, align="edge", color=BLUE, edgecolor="white")
    below.set_ylabel("Examples", color=INK, fontsize=9)
    below.set_xlabel(what, color=INK, fontsize=9)
    for axes in (above, below):
        _style(axes)
    write_figure(figure, path)


def ranking_curves(
    path: str | os.PathLike[str],
    roc: tuple[ArrayLike, ArrayLike],
    precision_recall: tuple[ArrayLike, ArrayLike],
    *,
    positives: float,
    at: tuple[float, float, float] | None = None,
) -> None:
    """Writes the ROC curve and the precision-recall curve, side by side.

    Args:
        path: The file.
        roc: `(false positive rates, recalls)`.
        precision_recall: `(precisions, recalls)`.
        positives: The share of positives: the precision of chance.
        at: False positive rate, recall and precision of the threshold that is used, a
            mark on both curves.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    left.plot(*map(np.asarray, roc), color=BLUE, linewidth=1.8)
    left.set_xlabel("1 - specificity (false positive rate)", color=INK, fontsize=9)
    left.set_ylabel("Recall", color=INK, fontsize=9)
    precisions, recalls = map(np.asarray, precision_recall)
    right.axhline(positives, color=GREY, linewidth=1, linestyle="--")
    right.plot(recalls, precisions, color=BLUE, linewidth=1.8)
    right.set_xlabel("Recall", color=INK, fontsize=9)
    right.set_ylabel("Precision", color=INK, fontsize=9)
    if at is not None:
        false_positives, recall, precision = at
        marked = {"markerfacecolor": "none", "color": ORANGE, "markeredgewidth": 1.8}
        left.plot(false_positives, recall, "o", ms=9, **marked)
        right.plot(recall, precision, "o", ms=9, **marked)
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _style(axes)
    write_figure(figure, path)


def confusion_heat_map(path: str | os.PathLike[str], counts: ArrayLike) -> None:
    """Writes a confusion matrix as shares of its rows, for many classes.

    Args:
        path: The file.
        counts: `[classes, classes]`; rows are true classes.

    Raises:
        ValueError: if it is not square.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    counts = np.asarray(counts, float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(
            f"counts must be [classes, classes], got shape {counts.shape}."
        )
    totals = counts.sum(axis=1, keepdims=True)
    nothing = np.full_like(counts, np.nan)
    shares = np.divide(counts, totals, out=nothing, where=totals > 0)
    figure = Figure(figsize=(5.4, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor(LIGHT)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    bar = figure.colorbar(image, ax=axes)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.ax.tick_params(colors=GREY, labelsize=8)
    bar.outline.set_visible(False)
    axes.set_xlabel("Predicted class (number)", color=INK, fontsize=9)
    axes.set_ylabel("True class (number)", color=INK, fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(10, integer=True))
    axes.tick_params(colors=GREY, labelsize=8)
    write_figure(figure, path)


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=8)
    axes.grid(color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
