"""A few examples of every class, to look at."""

import numpy as np

from jaxcnn.data.lazy import LazySource
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.resize import resize_image
from jaxcnn.data.source import Source
from jaxcnn.data.whole import pixels_of

_SIDE = 96


def class_samples(
    source: Source | LazySource, count: int = 8, *, most_classes: int = 40
) -> dict[str, np.ndarray]:
    """Returns examples of every class by its name, always the same ones.

    Args:
        source: One split; without labels all are of one class, `images`.
        count: Examples a class. A class with fewer is filled up with white ones;
            a class without any is left out.
        most_classes: Of the first so many classes.

    Returns:
        uint8 `[count, height, width, 3]`. Images all of one size up to 96 pixels a side
        stay as they are; others become the centre, 96x96. Broken images are left out.

    Raises:
        ValueError: if `count` is no positive whole number, or the source holds no
            images.
    """
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"count is {count!r}, expected a whole number from 1 on")
    if source.rank != 2:
        raise ValueError(f"{source.name!r} holds {source.kind}, expected images")
    labels, names = source.labels, source.class_names or ("images",)
    if labels is None:
        labels = np.zeros(len(source), np.int32)
    order = generator(0, 0, Stream.FOLDER).permutation(len(source))
    found = {}
    for label, name in enumerate(names[:most_classes]):
        if pictures := _pictures(source, order[labels[order] == label], count):
            found[name] = pictures
    every = [picture for pictures in found.values() for picture in pictures]
    if len({p.shape for p in every}) > 1 or max(every[0].shape[:2]) > _SIDE:
        found = {name: [_centre(p) for p in rows] for name, rows in found.items()}
    return {name: _filled(rows, count) for name, rows in found.items()}


def _pictures(
    source: Source | LazySource, positions: np.ndarray, count: int
) -> list[np.ndarray]:
    """Returns the first so many that can be decoded."""
    pictures: list[np.ndarray] = []
    for position in positions:
        if len(pictures) == count:
            break
        try:
            pictures.append(as_bytes(pixels_of(source, int(position))))
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
        except Exception:
            continue
    return pictures


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Returns a picture as uint8 RGB: of many channels the first three."""
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.shape[2] < 3:
        return np.repeat(pixels[..., :1], 3, axis=2)
    return pixels[..., :3]


def _centre(picture: np.ndarray) -> np.ndarray:
    """Returns the largest square in the middle, 96x96."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_image(picture[top : top + side, left : left + side], (_SIDE, _SIDE))


def _filled(pictures: list[np.ndarray], count: int) -> np.ndarray:
    white = np.full_like(pictures[0], 255)
    return np.stack([*pictures, *[white] * (count - len(pictures))])
