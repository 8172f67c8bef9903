"""What happens in the layers over a run: a heat map a number, layers by steps."""

import math
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxcnn.plotting.style import GREY, INK, LIGHT, write_figure

#: The panels: their titles, and whether a power of ten is what matters.
_PANELS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "gradient_norm": ("Gradient norm", True),
        "update_ratio": ("Update / parameters", True),
        "std": ("Deviation of activations", True),
        "zeros": ("Zero activations", False),
        "dead": ("Dead units", False),
    }
)
_MOST_LABELS = 40


def layer_heat_maps(
    path: str | os.PathLike[str],
    records: Iterable[Mapping[str, Any]],
    *,
    title: str | None = None,
) -> None:
    """Writes heat maps of gradients, updates, activations and dead units.

    Layers go down in the order of the records, steps to the right. Norms and deviations
    are coloured by their power of ten, shares from 0 to 100 %. What a layer lacks is
    left grey; a norm of 0 counts as the smallest float32.

    Args:
        path: The file.
        records: Such as `{"step": 100, "layers": {"conv1": {"gradient_norm": 0.1}}}`,
            as `LayerStatistics` writes them.
        title: The heading.

    Raises:
        ValueError: if there is nothing to draw.
    """
    from matplotlib.figure import Figure

    records = sorted(records, key=lambda record: record["step"])
    layers = list(dict.fromkeys(name for r in records for name in r["layers"]))
    found = {name: _values(records, layers, name) for name in _PANELS}
    found = {name: values for name, values in found.items() if _is_seen(values)}
    if not found:
        raise ValueError("There are no statistics of layers to draw.")
    height = 1.4 + 0.2 * min(max(len(layers), 6), _MOST_LABELS)
    figure = Figure(figsize=(1.5 + 2.6 * len(found), height), layout="constrained")
    steps = [record["step"] for record in records]
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, found.items(), strict=True):
        _draw(figure, axes, steps, values, *_PANELS[name])
    _label_layers(panels[0], layers)
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def _values(
    records: list[Mapping[str, Any]], layers: list[str], name: str
) -> np.ndarray:
    """Returns one number of every layer at every step, `[layers, steps]`."""
    return np.array(
        [[r["layers"].get(x, {}).get(name, math.nan) for r in records] for x in layers],
        float,
    )


def _is_seen(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


def _draw(
    figure: Any,
    axes: Any,
    steps: list[int],
    values: np.ndarray,
    title: str,
    logarithmic: bool,
) -> None:
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import PercentFormatter

    norm: Any = Normalize(0, 1)
    if logarithmic:
        values = np.maximum(values, np.finfo(np.float32).tiny)
        low, high = np.nanmin(values), np.nanmax(values[np.isfinite(values)])
        norm = LogNorm(low, max(high, 1.01 * low))
    image = axes.imshow(values, aspect="auto", norm=norm, interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, location="bottom", pad=0.02)
    if not logarithmic:
        bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    bar.ax.tick_params(colors=GREY, labelsize=7)
    bar.outline.set_visible(False)
    axes.set_facecolor(LIGHT)
    axes.set_title(title, fontsize=10, color=INK)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    marks = np.unique(np.linspace(0, len(steps) - 1, min(4, len(steps))).astype(int))
    axes.set_xticks(marks, [steps[k] for k in marks])
    axes.set_xlabel("Step", fontsize=9, color=INK)
    axes.tick_params(colors=GREY, labelsize=7, length=0)


def _label_layers(axes: Any, layers: list[str]) -> None:
    every = math.ceil(len(layers) / _MOST_LABELS)
    axes.set_yticks(range(0, len(layers), every), layers[::every])
