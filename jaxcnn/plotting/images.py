"""Grids of images with titles, predictions or the labels of rows."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.plotting.style import GREY, INK, LIGHT, ORANGE, write_figure
from jaxcnn.tree import nearest


def image_grid(
    path: str | os.PathLike[str],
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    *,
    notes: Sequence[str] | None = None,
    correct: Sequence[bool] | None = None,
    columns: int | None = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> None:
    """Writes a grid of images, each with a title and a smaller note above it.

    Args:
        path: The file; its ending says the format (`.png`, `.pdf`, `.svg`).
        images: `[n, height, width]` or `[n, height, width, channels]` of 1 or 3
            channels, uint8 or floats in [0, 1] (clipped to it).
        titles: One line for every image.
        notes: A second line for every image, small and grey.
        correct: Whether every image is in order: those that are not get a frame and a
            title in another colour.
        columns: Images in a row; by default such that the grid is wider than high.
        title: The heading of the whole.
        subtitle: A smaller line under the heading.

    Raises:
        ValueError: if there are no images, their rank, channels or type is another, or
            `titles`, `notes` or `correct` is not as long as `images`.
    """
    pixels = as_pixels(images)
    count = len(pixels)
    for name, texts in {"titles": titles, "notes": notes, "correct": correct}.items():
        _check_length(name, texts, count)
    if columns is None:
        columns = math.ceil(math.sqrt(1.6 * count))
    if columns < 1:
        raise ValueError(f"columns={columns} must be 1 or more.")
    text = 0.2 * (titles is not None) + 0.15 * (notes is not None)
    canvas = _Canvas(
        above=[text] * math.ceil(count / columns),
        columns=min(columns, count),
        aspect=pixels.shape[1] / pixels.shape[2],
        tile=max(0.85, 0.085 * _longest(titles), 0.058 * _longest(notes)),
    )
    for index, image in enumerate(pixels):
        wrong = correct is not None and not correct[index]
        axes = canvas.show(image, *divmod(index, columns), framed=wrong)
        canvas.label(
            axes,
            titles[index] if titles is not None else "",
            notes[index] if notes is not None else "",
            colour=ORANGE if wrong else INK,
        )
    canvas.head(title, subtitle)
    write_figure(canvas.figure, path)


def prediction_grid(
    path: str | os.PathLike[str],
    images: ArrayLike,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    columns: int | None = None,
    title: str | None = None,
) -> None:
    """Writes a grid of images with the predicted class, its probability and the truth.

    Args:
        path: The file.
        images: As for `image_grid`.
        labels: The true classes, `[n]` integers.
        probabilities: `[n, classes]`; the highest is the prediction.
        class_names: Names of the classes; by default their numbers.
        columns: Images in a row.
        title: The heading of the whole.

    Raises:
        ValueError: if the lengths differ, a label is no class, or as `image_grid`.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float32)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"labels {labels.shape} and probabilities {probabilities.shape} do not "
            "fit: [n] and [n, classes] are needed."
        )
    classes = probabilities.shape[1]
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise ValueError(f"The label {outside[0]} is none of the {classes} classes.")
    names = list(class_names) if class_names is not None else list(range(classes))
    _check_length("class_names", names, classes, of="classes")
    predicted = probabilities.argmax(axis=1)
    notes = [
        f"{row[guess]:.0%}"
        if guess == label
        else f"{row[guess]:.0%}, is {names[label]}"
        for row, guess, label in zip(probabilities, predicted, labels, strict=True)
    ]
    right = int((predicted == labels).sum())
    image_grid(
        path,
        images,
        [str(names[guess]) for guess in predicted],
        notes=notes,
        correct=(predicted == labels).tolist(),
        columns=columns,
        title=title,
        subtitle=f"Predicted class and its probability: {right} of {len(labels)} right"
        + ("." if right == len(labels) else "; wrong ones are framed, with the truth."),
    )


def comparison_grid(
    path: str | os.PathLike[str],
    rows: Mapping[str, ArrayLike],
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> None:
    """Writes rows of images, one below the other, such as noisy, clean and restored.

    Args:
        path: The file.
        rows: Images by the label of their row, as for `image_grid`, as many in each.
        notes: A small line above every image of a row, by the row's label.
        title: The heading of the whole.
        subtitle: A smaller line under the heading.

    Raises:
        ValueError: if there are no rows, their lengths differ, a note belongs to no
            row, or as `image_grid`.
    """
    if not rows:
        raise ValueError("There are no rows of images to compare.")
    pixels = {label: as_pixels(images) for label, images in rows.items()}
    lengths = {label: len(images) for label, images in pixels.items()}
    columns = max(lengths.values())
    if min(lengths.values()) != columns:
        raise ValueError(f"Rows of different lengths cannot be compared: {lengths}.")
    notes = notes or {}
    for label, texts in notes.items():
        if label not in rows:
            raise ValueError(
                f"notes of {label!r} belong to no row.{nearest(label, rows)}"
            )
        _check_length(f"notes of {label!r}", texts, columns)
    canvas = _Canvas(
        above=[0.16 if label in notes else 0.0 for label in rows],
        columns=columns,
        aspect=max(images.shape[1] / images.shape[2] for images in pixels.values()),
        gap=0.06,
    )
    for row, (label, images) in enumerate(pixels.items()):
        for column, image in enumerate(images):
            axes = canvas.show(image, row, column)
            canvas.label(axes, "", notes[label][column] if label in notes else "")
            if column == 0:
                axes.set_ylabel(
                    label, rotation=0, ha="right", va="center", size=9, color=INK
                )
    canvas.head(title, subtitle)
    write_figure(canvas.figure, path)


class _Canvas:
    """A figure of equal tiles, laid out in inches, with room for text above a row."""

    def __init__(
        self,
        *,
        above: Sequence[float],
        columns: int,
        aspect: float,
        tile: float = 0.85,
        gap: float = 0.14,
    ):
        from matplotlib.figure import Figure

        aspect = min(max(aspect, 0.2), 5.0)
        self.tile = (tile, tile * aspect)
        self.step = tile + gap
        # Where the images of every row end, measured from the top.
        self.ends = np.cumsum([text + self.tile[1] + gap for text in above]) - gap
        self.size = (columns * self.step - gap, float(self.ends[-1]))
        self.figure = Figure(figsize=self.size)

    def show(
        self, image: np.ndarray, row: int, column: int, *, framed: bool = False
    ) -> Any:
        """Draws one image into its tile and returns the axes."""
        width, height = self.size
        left, bottom = column * self.step, height - self.ends[row]
        axes = self.figure.add_axes(
            (left / width, bottom / height, self.tile[0] / width, self.tile[1] / height)
        )
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_color(ORANGE if framed else LIGHT)
            spine.set_linewidth(2.5 if framed else 0.6)
        return axes

    def label(self, axes: Any, title: str, note: str, *, colour: str = INK) -> None:
        """Writes a title, and a note between it and the image."""
        place = {"xycoords": "axes fraction", "textcoords": "offset points"}
        place |= {"ha": "center", "va": "baseline"}
        if note:
            small = {"fontsize": 6.5, "color": GREY if colour == INK else colour}
            axes.annotate(note, (0.5, 1), (0, 3.5), **place, **small)
        if title:
            big = {"fontsize": 9, "color": colour, "fontweight": "bold"}
            axes.annotate(title, (0.5, 1), (0, 13 if note else 4), **place, **big)

    def head(self, title: str | None, subtitle: str | None) -> None:
        """Writes the heading above the tiles; the file grows to hold it."""
        width, height = self.size
        place = {"ha": "center", "va": "bottom", "color": INK}
        above = height + 0.1
        if subtitle:
            self.figure.text(0.5, above / height, subtitle, fontsize=8, **place)
            above += 0.22
        if title:
            size = 12 if width > 3 else 10
            heading = {"fontsize": size, "fontweight": "bold", **place}
            self.figure.text(0.5, above / height, title, **heading)


def as_pixels(images: ArrayLike) -> np.ndarray:
    """Returns images as float32 in [0, 1], `[n, h, w]` or `[n, h, w, 3]`."""
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise ValueError(
            f"images {np.shape(images)} cannot be drawn: [n, height, width] or "
            "[n, height, width, channels] of 1 or 3 channels is needed."
        )
    if 0 in array.shape:
        raise ValueError(f"images {np.shape(images)} are empty: nothing to draw.")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    elif not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"images of type {array.dtype} cannot be drawn: uint8 or floats in [0, 1] "
            "are needed."
        )
    array = np.clip(array.astype(np.float32), 0, 1)
    return array[..., 0] if array.shape[3] == 1 else array


def _longest(texts: Sequence[str] | None) -> int:
    return max(map(len, texts)) if texts is not None else 0


def _check_length(
    name: str, values: Sequence[Any] | None, count: int, of: str = "images"
) -> None:
    if values is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries for {count} {of}.")
