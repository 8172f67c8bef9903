"""Pictures of features: maps, receptive fields, points of a plane, mosaics."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.images import as_pixels, image_grid
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

# Ten colours that can be told apart: Okabe and Ito's eight with two darker ones.
_CLASSES = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "#B8A900", INK)
_CLASSES += ("#8C510A", "#999999")
_BOXES = (ORANGE, BLUE, GREEN, PURPLE, "#E69F00", "#56B4E9")


def feature_map_grid(
    path: str | os.PathLike[str],
    maps: ArrayLike,
    *,
    channels: Sequence[int] | None = None,
    columns: int = 8,
    title: str | None = None,
    subtitle: str | None = None,
) -> None:
    """Writes the feature maps of one image, each over its own range, dark to bright.

    Args:
        path: The file; its ending says the format (`.png`, `.pdf`, `.svg`).
        maps: `[height, width, channels]`.
        channels: Which to draw, in this order; by default the first 32.
        columns: Maps in a row.
        title: The heading.
        subtitle: A smaller line under it; by default what bright and dark mean.

    Raises:
        ValueError: if the maps have another rank, or there is no such channel.
    """
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"maps {maps.shape} cannot be drawn: [height, width, channels] is needed."
        )
    count = maps.shape[-1]
    chosen = list(range(min(count, 32)) if channels is None else channels)
    outside = [channel for channel in chosen if not 0 <= channel < count]
    if outside or not chosen:
        raise ValueError(
            f"channels {outside or chosen} cannot be drawn: there are {count}, 0 to "
            f"{count - 1}."
        )
    drawn = np.moveaxis(maps[..., chosen], -1, 0)
    low, high = (f(axis=(1, 2), keepdims=True) for f in (drawn.min, drawn.max))
    flat = high == low
    scaled = np.where(flat, 0.0, (drawn - low) / np.where(flat, 1.0, high - low))
    image_grid(
        path,
        scaled,
        [str(channel) for channel in chosen],
        columns=min(columns, len(chosen)),
        title=title,
        subtitle=subtitle or "Each channel from its least value, black, to its largest",
    )


def mosaic(
    path: str | os.PathLike[str],
    images: ArrayLike,
    *,
    across: tuple[float, float] | None = None,
    up: tuple[float, float] | None = None,
    labels: tuple[str, str] = ("", ""),
    title: str | None = None,
) -> None:
    """Writes images side by side without gaps, such as those of a plane of latents.

    Args:
        path: The file.
        images: `[rows, columns, height, width, channels]`, uint8 or floats in [0, 1].
        across: Coordinate of the first and of the last column.
        up: Coordinate of the last (lowest) and of the first row.
        labels: What the coordinates are: across, and up.
        title: The heading.

    Raises:
        ValueError: if the rank is another, or as `image_grid`.
    """
    from matplotlib.figure import Figure

    array = np.asarray(images)
    if array.ndim != 5:
        raise ValueError(
            f"images {array.shape} are no mosaic: [rows, columns, height, width, "
            "channels] is needed."
        )
    rows, columns, height, width, channels = array.shape
    pixels = as_pixels(array.reshape(rows * columns, height, width, channels))
    tiles = pixels.reshape(rows, columns, *pixels.shape[1:])
    sheet = np.concatenate(np.concatenate(list(tiles), axis=1), axis=1)
    side = 5.5
    figure = Figure(figsize=(side, side * sheet.shape[0] / sheet.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _coordinates(axes.set_xticks, across, columns, width, width / 2)
    _coordinates(axes.set_yticks, up and up[::-1], rows, height, height / 2)
    axes.set_xlabel(labels[0], fontsize=9, color=INK)
    axes.set_ylabel(labels[1], fontsize=9, color=INK)
    _plain(axes)
    if title is not None:
        axes.set_title(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def receptive_field_picture(
    path: str | os.PathLike[str],
    image: ArrayLike,
    boxes: Mapping[str, Sequence[tuple[int, int]]],
    fields: Mapping[str, ArrayLike] | None = None,
    *,
    notes: Mapping[str, str] | None = None,
    title: str | None = None,
) -> None:
    """Writes an image with what units can see framed, and panels of what they do see.

    Args:
        path: The file.
        image: `[height, width, channels]`, uint8 or floats in [0, 1].
        boxes: By name, first and last row and first and last column that a unit sees,
            `((top, bottom), (left, right))`; what lies beyond the image, its padding,
            is grey.
        fields: By name, how much it depends on each pixel, `[height, width]`; each is
            drawn over its own range, its box framed.
        notes: By name, a line under the title of its panel.
        title: The heading.

    Raises:
        ValueError: if there is no box, a field or a note has none, or a field has
            another size than the image.
    """
    from matplotlib.figure import Figure

    pixels = as_pixels(np.asarray(image)[None])[0]
    fields, notes = dict(fields or {}), dict(notes or {})
    _check_fields(pixels.shape[:2], boxes, fields, notes)
    count = 1 + len(fields)
    height = 2.6 * pixels.shape[0] / pixels.shape[1]
    figure = Figure(figsize=(2.75 * count, height + 1.0), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    panels[0].imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for number, (name, box) in enumerate(boxes.items()):
        colour = _BOXES[number % len(_BOXES)]
        _frame(panels[0], box, colour, name)
        if name in fields:
            axes = panels[1 + list(fields).index(name)]
            values = np.asarray(fields[name], np.float32)
            axes.imshow(values, cmap="magma", vmin=0, interpolation="nearest")
            _frame(axes, box, colour, None)
            note = f"\n{notes[name]}" if name in notes else ""
            axes.set_title(name + note, fontsize=9, color=INK)
    panels[0].legend(loc="upper left", fontsize=6, labelcolor=INK, framealpha=0.85)
    panels[0].set_title("What a unit can see", fontsize=9, color=INK)
    whole = [(0, size - 1) for size in pixels.shape[:2]]
    for number, axes in enumerate(panels):
        # The first one has room for what lies in the padding.
        inside = [whole] if number else [whole, *boxes.values()]
        (top, bottom), (left, right) = (
            (min(low for low, _ in spans), max(high for _, high in spans))
            for spans in zip(*inside, strict=True)
        )
        axes.set(xticks=[], yticks=[], facecolor=LIGHT)
        axes.set(xlim=(left - 1, right + 1), ylim=(bottom + 1, top - 1))
        _plain(axes)
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def scatter_map(
    path: str | os.PathLike[str],
    points: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    axes_labels: tuple[str, str] = ("", ""),
    title: str | None = None,
) -> None:
    """Writes points of a plane, such as projected features, coloured by their class.

    Args:
        path: The file.
        points: `[n, 2]`.
        labels: Class of every point, `[n]` integers from 0.
        class_names: Names of the classes; by default their numbers.
        axes_labels: What the coordinates are; without one an axis has no numbers.
        title: The heading.

    Raises:
        ValueError: if the shapes do not fit, or a class has no name.
    """
    from matplotlib.figure import Figure

    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points {points.shape} cannot be drawn: [n, 2] is needed.")
    if labels is None:
        classes = np.zeros(len(points), int)
    else:
        classes = np.asarray(labels)
        if classes.shape != (len(points),):
            raise ValueError(f"labels {classes.shape} do not fit {len(points)} points.")
    names = _class_names(classes, class_names)
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    size = min(14.0, max(2.0, 4000 / len(points)))
    for number, name in enumerate(names):
        own = points[classes == number]
        colour = _CLASSES[number % len(_CLASSES)]
        marker = "ox^sv"[number // len(_CLASSES) % 5]
        axes.scatter(*own.T, s=size, color=colour, label=name, marker=marker, lw=0.5)
    for axis, text in zip((axes.xaxis, axes.yaxis), axes_labels, strict=True):
        axis.set_label_text(text, fontsize=9, color=INK)
        if not text:
            axis.set_ticks([])
    axes.grid(color=LIGHT, linewidth=0.5)
    axes.set_axisbelow(True)
    _plain(axes)
    if labels is not None:
        figure.legend(
            loc="outside right center",
            frameon=False,
            fontsize=8,
            markerscale=2,
            labelcolor=INK,
        )
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def _class_names(classes: np.ndarray, names: Sequence[str] | None) -> list[str]:
    count = int(classes.max()) + 1
    if classes.min() < 0 or (names is not None and count > len(names)):
        bad = classes.min() if classes.min() < 0 else count - 1
        raise ValueError(f"The label {bad} is no class that has a name.")
    return list(names) if names is not None else [str(k) for k in range(count)]


def _check_fields(
    size: tuple[int, ...],
    boxes: Mapping[str, Any],
    fields: Mapping[str, ArrayLike],
    notes: Mapping[str, str],
) -> None:
    if not boxes:
        raise ValueError("There are no receptive fields to draw.")
    for name in (*fields, *notes):
        if name not in boxes:
            raise ValueError(f"{name!r} has no box: there are {', '.join(boxes)}.")
    for name, values in fields.items():
        if np.shape(values) != size:
            raise ValueError(
                f"The field of {name!r} is {np.shape(values)}, the image {size}."
            )


def _frame(
    axes: Any, box: Sequence[tuple[int, int]], colour: str, name: str | None
) -> None:
    from matplotlib.patches import Rectangle

    (top, bottom), (left, right) = box
    corner, size = (left - 0.5, top - 0.5), (right - left + 1, bottom - top + 1)
    axes.add_patch(
        Rectangle(
            corner, *size, fill=False, edgecolor=colour, linewidth=1.8, label=name
        )
    )


def _coordinates(
    set_ticks: Any,
    ends: tuple[float, float] | None,
    count: int,
    step: float,
    first: float,
) -> None:
    """Writes the coordinates at the first, the middle and the last tile."""
    if ends is None:
        set_ticks([])
        return
    places = first - 0.5 + step * np.linspace(0, count - 1, 3)
    set_ticks(places, [f"{value:.1f}" for value in np.linspace(*ends, 3)])


def _plain(axes: Any) -> None:
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(colors=GREY, labelsize=7, length=0)
