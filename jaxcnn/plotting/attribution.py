"""Maps over images: where a model looked, beside what it said."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.images import as_pixels
from jaxcnn.plotting.style import BLUE, GREY, INK, LIGHT, ORANGE, write_figure

#: Share of the largest values of a map that are drawn as strong as its 99th
#: percentile: one pixel must not make all others pale.
_BRIGHTEST = 99.0


def map_over_image(
    images: ArrayLike, maps: ArrayLike, *, strength: float = 0.8
) -> np.ndarray:
    """Returns gray images with their maps over them in colour.

    Maps without any negative value go from the image itself to yellow over violet and
    red; others to red where they are positive and to blue where they are negative. Each
    is scaled by the 99th percentile of its absolute values; one that is 0 leaves the
    gray image.

    Args:
        images: `[n, height, width]` or `[n, height, width, channels]` of 1 or 3
            channels, uint8 or floats in [0, 1].
        maps: `[n, height, width]`.
        strength: How much of the colour covers the image where the map is highest.

    Returns:
        Floats in [0, 1], `[n, height, width, 3]`.

    Raises:
        ValueError: if the shapes do not fit or a map holds NaN or infinity.
    """
    from matplotlib import colormaps

    pixels = as_pixels(images)
    gray = pixels if pixels.ndim == 3 else pixels @ np.array([0.299, 0.587, 0.114])
    maps = np.asarray(maps, np.float32)
    if maps.shape != gray.shape:
        raise ValueError(
            f"maps {maps.shape} do not fit images: {gray.shape} is needed."
        )
    if not np.isfinite(maps).all():
        raise ValueError("maps hold NaN or infinity: nothing to draw.")
    found, signed = [], (maps < 0).any()
    for image, values in zip(gray, maps, strict=True):
        scaled = _scaled(values)
        name, place = ("RdBu_r", (scaled + 1) / 2) if signed else ("inferno", scaled)
        weight = strength * np.sqrt(np.abs(scaled))[..., None]
        colour = colormaps[name](place)[..., :3]
        found.append((1 - weight) * image[..., None] + weight * colour)
    return np.stack(found).astype(np.float32)


def attribution_sheet(
    path: str | os.PathLike[str],
    images: ArrayLike,
    maps: Mapping[str, ArrayLike],
    *,
    titles: Sequence[str] | None = None,
    top: Sequence[Sequence[tuple[str, float]]] | None = None,
    explained: Sequence[str] | None = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> None:
    """Writes a row for each image: it, every map over it, its most probable classes.

    Args:
        path: The file.
        images: As for `map_over_image`.
        maps: By the heading of their column, each `[n, height, width]`.
        titles: A line for every image, such as its file.
        top: For every image names of classes and their probabilities, drawn as bars.
        explained: For every image the class that its maps are about: its bar stands
            out, and if it is not among them it is named.
        title: The heading of the whole.
        subtitle: A smaller line under the heading.

    Raises:
        ValueError: if there are no maps, or shapes or lengths do not fit.
    """
    from matplotlib.figure import Figure

    if not maps:
        raise ValueError("There are no maps to draw.")
    pixels = as_pixels(images)
    for name, texts in {"titles": titles, "top": top, "explained": explained}.items():
        if texts is not None and len(texts) != len(pixels):
            raise ValueError(
                f"{name} has {len(texts)} entries for {len(pixels)} images."
            )
    covered = {name: map_over_image(images, each) for name, each in maps.items()}
    columns = 1 + len(maps) + (top is not None)
    tall = 1.7 * min(max(pixels.shape[1] / pixels.shape[2], 0.4), 2.5)
    size = (1.8 * (1 + len(maps)) + 2.6 * (top is not None), (tall + 0.3) * len(pixels))
    figure = Figure(figsize=size, layout="constrained")
    widths = [1.0] * (1 + len(maps)) + [1.2] * (top is not None)
    grid = figure.subplots(len(pixels), columns, squeeze=False, width_ratios=widths)
    for row, image in enumerate(pixels):
        _show(grid[row, 0], image)
        grid[row, 0].set_title(titles[row] if titles else "", fontsize=8, color=INK)
        for column, (name, each) in enumerate(covered.items(), 1):
            _show(grid[row, column], each[row])
            if row == 0:
                grid[row, column].set_title(name, fontsize=8, color=INK)
        if top is not None:
            _bars(grid[row, -1], top[row], explained[row] if explained else None)
    heading = "\n".join(text for text in (title, subtitle) if text)
    if heading:
        figure.suptitle(heading, fontsize=9, color=INK)
    write_figure(figure, path)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Returns a map in [-1, 1]; one that is 0 stays so."""
    high = np.percentile(np.abs(values), _BRIGHTEST) or np.abs(values).max()
    return np.clip(values / high, -1, 1) if high > 0 else values


def _show(axes: Any, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(LIGHT)


def _bars(
    axes: Any, classes: Sequence[tuple[str, float]], explained: str | None
) -> None:
    """Draws probabilities as bars, the explained class in another colour."""
    names = [name for name, _ in classes]
    values = [value for _, value in classes]
    colours = [ORANGE if name == explained else BLUE for name in names]
    axes.barh(range(len(names)), values, color=colours, height=0.34)
    for place, (name, value) in enumerate(classes):
        text = f"{name[:34]}  {100 * value:.1f} %"
        axes.text(0, place - 0.24, text, fontsize=7, color=INK, va="bottom")
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.75), xticks=[], yticks=[])
    if explained is not None and explained not in names:
        note = f"explained: {explained}"
        axes.set_title(note, fontsize=7, color=GREY, loc="left")
    for spine in axes.spines.values():
        spine.set_visible(False)
