"""Resize and centre crop as two matrix products, to the pixel that Pillow gives."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxcnn.typing import Array

#: Interpolations by name: the filter's half width in source pixels.
INTERPOLATIONS = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def _bilinear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    """Keys, "Cubic Convolution Interpolation", 1981, with a = -1/2, as in Pillow."""
    x = np.abs(x)
    inner = ((1.5 * x - 2.5) * x) * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_FILTERS = {"bilinear": _bilinear, "bicubic": _bicubic, "lanczos": _lanczos}


@functools.lru_cache(maxsize=64)
def resize_weights(old: int, new: int, interpolation: str) -> np.ndarray:
    """Returns the matrix `[new, old]` that resizes one axis.

    Where the axis gets shorter the filter is as much wider, so nothing aliases.

    Args:
        old: Pixels before.
        new: Pixels after.
        interpolation: One of `INTERPOLATIONS`.
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    scale = max(step, 1.0)
    support = INTERPOLATIONS[interpolation] * scale
    pixels = np.arange(old)
    # Pillow takes the pixels of a window with rounded ends, not all under the filter.
    first = np.maximum(np.floor(centres - support + 0.5), 0)[:, None]
    last = np.minimum(np.floor(centres + support + 0.5), old)[:, None]
    weights = _FILTERS[interpolation]((pixels + 0.5 - centres[:, None]) / scale)
    weights = np.where((pixels >= first) & (pixels < last), weights, 0.0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resized_shape(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Returns (height, width) with the shorter side as asked for.

    The longer side is rounded down, as torchvision's `Resize` does.

    Example:
        >>> resized_shape(375, 500, 256)
        (256, 341)
    """
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def centre_crop_start(size: int, crop: int) -> int:
    """Returns the first pixel of a centre crop; negative where it needs padding.

    Halves are rounded to even, as torchvision's `CenterCrop` does.

    Example:
        >>> centre_crop_start(341, 224), centre_crop_start(2, 5)
        (58, -1)
    """
    if crop > size:
        return -((crop - size) // 2)
    return round((size - crop) / 2)


def resize_and_crop(
    images: Array,
    size: tuple[int, int],
    crop: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> Array:
    """Returns images in another size, of which a centre part may be cropped.

    Only what the crop keeps is computed. Images of integers are rounded after each
    axis, as Pillow does; they come back as float32.

    Args:
        images: `[batch, height, width, channels]`, uint8, uint16 or float.
        size: `(height, width)` of the whole images after the resize.
        crop: `(height, width)` of the part; zeros come in where it is larger.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        float32 `[batch, *crop or *size, channels]`, in the range of the images.
    """
    images = jnp.asarray(images)
    whole = jnp.issubdtype(images.dtype, jnp.integer)
    largest = jnp.iinfo(images.dtype).max if whole else None
    x = images.astype(jnp.float32)
    # The width first, as in Pillow: the order shows in the rounding.
    for axis, equation in ((2, "oi,bhic->bhoc"), (1, "oi,biwc->bowc")):
        old, new = images.shape[axis], size[axis - 1]
        kept = new if crop is None else crop[axis - 1]
        weights = _cropped(resize_weights(old, new, interpolation), kept)
        if old == new == kept:
            continue
        x = jnp.einsum(equation, weights, x, precision="highest")
        if whole:
            # Halves up, as in Pillow: exact ones are frequent at round ratios.
            x = jnp.clip(jnp.floor(x + 0.5), 0, largest)
    return x


def _cropped(weights: np.ndarray, kept: int) -> np.ndarray:
    """Returns the rows of a centre crop, zeros where it lies outside."""
    start = centre_crop_start(len(weights), kept)
    before = max(-start, 0)
    after = max(start + kept - len(weights), 0)
    rows = np.pad(weights, ((before, after), (0, 0)))
    return rows[max(start, 0) : max(start, 0) + kept]
