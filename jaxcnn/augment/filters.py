"""Blur and sharpness of images, by a strength for each."""

import jax.numpy as jnp

from jaxcnn.augment.color import blend
from jaxcnn.augment.draws import per_image
from jaxcnn.typing import Array


def gaussian_blur(images: Array, sigmas: Array, radius: int) -> Array:
    """Returns images smoothed by Gaussians, their borders mirrored.

    The same as torchvision's `gaussian_blur` with a kernel of `2 * radius + 1` pixels.
    (Pillow's `GaussianBlur` is three box blurs instead.) Images narrower than the
    kernel take a smaller one.

    Args:
        images: `[batch, height, width, channels]`, floats.
        sigmas: Deviations in pixels, `[batch]`, above 0.
        radius: Pixels to each side, at which the Gaussians are cut off.
    """
    for axis in (1, 2):
        images = _smoothed(images, sigmas, min(radius, images.shape[axis] - 1), axis)
    return images


def sharpness(images: Array, factors: Array) -> Array:
    """Returns images between smoothed ones (0) and themselves (1), or beyond.

    The smoothing kernel is Pillow's, [1 1 1; 1 5 1; 1 1 1] / 13; pixels on the border
    stay as they are.

    Args:
        images: `[batch, height, width, channels]`, floats in [0, 1].
        factors: 2 sharpens, `[batch]`.
    """
    return blend(images, smoothed(images), factors)


def smoothed(images: Array) -> Array:
    """Returns images smoothed by Pillow's 3x3 kernel, but for their borders."""
    _, height, width, _ = images.shape
    if height < 3 or width < 3:
        return images
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = (total + 4 * images[:, 1:-1, 1:-1]) / 13
    return images.at[:, 1:-1, 1:-1].set(inner)


def _smoothed(images: Array, sigmas: Array, radius: int, axis: int) -> Array:
    if radius < 1:
        return images
    offsets = jnp.arange(-radius, radius + 1, dtype=jnp.float32)[None]
    weights = jnp.exp(-0.5 * jnp.square(offsets / sigmas[:, None]))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(images.dtype)
    frame = [(0, 0)] * 4
    frame[axis] = (radius, radius)
    padded, size = jnp.pad(images, frame, mode="reflect"), images.shape[axis]
    result = 0
    for step in range(2 * radius + 1):
        part = [slice(None)] * 4
        part[axis] = slice(step, step + size)
        result = result + per_image(weights[:, step]) * padded[tuple(part)]
    return result
