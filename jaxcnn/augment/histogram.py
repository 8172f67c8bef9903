"""Equalize and autocontrast: what the values of a channel decide."""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def autocontrast(images: Array) -> Array:
    """Returns images whose channels reach from 0 to 1; constant ones stay.

    Args:
        images: `[batch, height, width, channels]`, floats in [0, 1].
    """
    # Computed once: the derivative of `min` looks for the value that it found.
    images = jax.lax.optimization_barrier(images)
    low = images.min(axis=(1, 2), keepdims=True)
    spread = images.max(axis=(1, 2), keepdims=True) - low
    flat = spread == 0
    stretched = (images - low) / jnp.where(flat, 1, spread)
    return jnp.where(flat, images, jnp.clip(stretched, 0, 1))


def equalize(images: Array) -> Array:
    """Returns images whose channels take all values about as often.

    Pillow's algorithm on bytes, to which values are rounded; so is torchvision's. The
    derivative is 0. A channel of so few values that there is nothing to spread stays.

    Args:
        images: `[batch, height, width, channels]`, floats in [0, 1].
    """
    batch, height, width, channels = images.shape
    pixels = jnp.moveaxis(images, -1, 1).reshape(batch * channels, height * width)
    levels = jnp.clip(jnp.round(pixels * 255), 0, 255).astype(jnp.int32)
    found = jax.vmap(_equalized)(levels).astype(images.dtype) / 255
    flat = _step(jax.vmap(_counts)(levels), height * width) == 0
    found = jnp.where(flat[:, None], pixels, found)
    return jnp.moveaxis(found.reshape(batch, channels, height, width), 1, -1)


def _counts(levels: Array) -> Array:
    return jnp.zeros(256, jnp.int32).at[levels].add(1, mode="promise_in_bounds")


def _step(counts: Array, size: int) -> Array:
    """Returns a 255th of the pixels that do not have the highest value that occurs."""
    highest = 255 - jnp.argmax(counts[..., ::-1] > 0, axis=-1)
    top = jnp.take_along_axis(counts, highest[..., None], axis=-1)[..., 0]
    return (size - top) // 255


def _equalized(levels: Array) -> Array:
    """Returns the new levels of one channel's pixels, `[pixels]`."""
    counts = _counts(levels)
    step = _step(counts, len(levels))
    below = jnp.cumsum(counts) - counts
    table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
    return table.at[levels].get(mode="promise_in_bounds")
