"""The losses of a style transfer over its steps."""

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.style import BLUE, GREY, INK, LIGHT, ORANGE, PURPLE, write_figure


def style_curves(
    path: str | os.PathLike[str],
    losses: Mapping[str, ArrayLike],
    sizes: ArrayLike | None = None,
    *,
    title: str | None = None,
) -> None:
    """Writes the losses of content and style, and the style of each layer.

    Args:
        path: The file.
        losses: One number a picture by name: `"content"`, `"style"`, and `"style/..."`
            for each layer, as `style_transfer` returns them. Others are not drawn.
        sizes: The longer side of each picture; a line marks where it changes.
        title: The heading.

    Raises:
        ValueError: if content or style is missing, or the lengths differ.
    """
    from matplotlib.figure import Figure

    curves = {name: np.asarray(values, float) for name, values in losses.items()}
    lengths = {name: len(values) for name, values in curves.items()}
    if not {"content", "style"} <= curves.keys() or len(set(lengths.values())) != 1:
        raise ValueError(
            f"losses must hold content and style, as long as each other, got {lengths}."
        )
    sizes = np.full(lengths["style"], 0) if sizes is None else np.asarray(sizes)
    if len(sizes) != lengths["style"]:
        raise ValueError(
            f"sizes has {len(sizes)} entries for {lengths['style']} pictures."
        )
    layers = {k[6:]: v for k, v in curves.items() if k.startswith("style/")}
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    both, each = figure.subplots(1, 2)
    both.plot(curves["content"], color=BLUE, label="content")
    both.plot(curves["style"], color=ORANGE, label="style")
    for number, (name, values) in enumerate(layers.items()):
        shade = 0.25 + 0.75 * number / max(len(layers) - 1, 1)
        each.plot(values, color=PURPLE, alpha=shade, label=name)
    for axes in (both, each):
        for at in np.flatnonzero(np.diff(sizes)) + 1:
            axes.axvline(at, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel("picture", color=INK)
        axes.grid(color=LIGHT, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    both.set_ylabel("loss without its weight", color=INK)
    each.set_title("style by layer", fontsize=10, color=INK)
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)
