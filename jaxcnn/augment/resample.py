"""Images read between their pixels: bilinear and nearest, zeros beyond the border."""

import jax.numpy as jnp

from jaxcnn.typing import Array


def bilinear(images: Array, rows: Array, columns: Array) -> Array:
    """Returns what lies at points of images, between four pixels.

    The point (0, 0) is the centre of the first pixel. Pixels beyond the border are 0
    and take part: half a pixel outside, half of the value is left, as in PyTorch's
    `grid_sample(padding_mode="zeros", align_corners=False)`.

    Args:
        images: `[batch, height, width, channels]`, floats.
        rows: How far down each point lies, `[batch, points]`.
        columns: How far to the right, `[batch, points]`.

    Returns:
        Values, `[batch, points, channels]`, of the images' type.
    """
    batch, height, width, channels = images.shape
    # One frame of zeros: whatever lies further out is clipped into it.
    framed = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    framed = framed.reshape(batch, (height + 2) * (width + 2), channels)
    rows = jnp.clip(rows + 1, 0, height + 1)
    columns = jnp.clip(columns + 1, 0, width + 1)
    top = jnp.clip(jnp.floor(rows), 0, height)
    left = jnp.clip(jnp.floor(columns), 0, width)
    result = 0
    for down, by_row in enumerate((1 - (rows - top), rows - top)):
        for right, by_column in enumerate((1 - (columns - left), columns - left)):
            index = ((top + down) * (width + 2) + left + right).astype(jnp.int32)
            pixels = _taken(framed, index)
            weights = (by_row * by_column).astype(images.dtype)
            result = result + weights[:, :, None] * pixels
    return result


def nearest(images: Array, rows: Array, columns: Array, fill: int = 0) -> Array:
    """Returns the pixel next to each point; half way between two it is the even one.

    Args:
        images: `[batch, height, width, channels]` of any type.
        rows: How far down each point lies, `[batch, points]`.
        columns: How far to the right, `[batch, points]`.
        fill: What lies beyond the border.

    Returns:
        Values, `[batch, points, channels]`, of the images' type.
    """
    batch, height, width, channels = images.shape
    flat = images.reshape(batch, height * width, channels)
    row, column = jnp.round(rows), jnp.round(columns)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
    pixels = _taken(flat, index.astype(jnp.int32))
    return jnp.where(inside[:, :, None], pixels, jnp.asarray(fill, images.dtype))


def _taken(flat: Array, index: Array) -> Array:
    return jnp.take_along_axis(
        flat, index[:, :, None], axis=1, mode="promise_in_bounds"
    )
