"""The learning-rate range test: the loss over growing rates."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, write_figure


def learning_rate_range(
    path: str | os.PathLike[str],
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    *,
    marks: Mapping[str, float] | None = None,
    title: str | None = None,
) -> None:
    """Writes the loss over the learning rate, on a logarithmic axis.

    Args:
        path: The file.
        rates: The rate of every step, growing.
        losses: The training loss at each.
        smoothed: The same without its noise.
        marks: Rates to point out, by name.
        title: The heading.

    Raises:
        ValueError: if there is nothing to draw, or the lengths differ.
    """
    from matplotlib.figure import Figure

    if not len(rates) == len(losses) == len(smoothed) > 0:
        raise ValueError(
            "rates, losses and smoothed must be as long as each other and not empty, "
            f"got {len(rates)}, {len(losses)} and {len(smoothed)}."
        )
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=BLUE, linewidth=0.7, alpha=0.35, label="loss")
    axes.plot(rates, smoothed, color=BLUE, linewidth=1.8, label="smoothed")
    axes.set_xscale("log")
    for colour, (name, rate) in zip(
        (GREEN, ORANGE), (marks or {}).items(), strict=False
    ):
        axes.axvline(
            rate,
            color=colour,
            linewidth=1.2,
            linestyle="--",
            label=f"{name} {rate:.2g}",
        )
    _style(axes, np.asarray(smoothed, float))
    if title is not None:
        axes.set_title(title, fontsize=11, color=INK, fontweight="bold")
    write_figure(figure, path)


def _style(axes: Any, smoothed: np.ndarray) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", colors=GREY, labelsize=8)
    axes.grid(color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("Learning rate", color=INK, fontsize=9)
    axes.set_ylabel("Training loss", color=INK, fontsize=9)
    # The blow-up at the end must not flatten what comes before it.
    low, first = smoothed.min(), smoothed[0]
    room = max(first - low, 1e-3)
    axes.set_ylim(low - 0.15 * room, first + 0.6 * room)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
