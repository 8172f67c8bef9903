"""Geometric operations as 3x3 matrices, one for every image.

A matrix takes a point `(x, y, 1)` of the image to where it goes: x pixels to the right
and y pixels down from the image's centre, which lies half way between its first and its
last pixel.
"""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def rotation(degrees: Array) -> Array:
    """Returns rotations counter-clockwise as one sees the image, `[batch, 3, 3]`."""
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # y points down, so that the sines have the other signs than in mathematics.
    return _matrices([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def shearing(x: Array, y: Array) -> Array:
    """Returns shears: x moves by `x` pixels a row, then y by `y` pixels a column.

    Args:
        x: The tangent of the angle by which columns lean, `[batch]`; above 0 what is
            below the centre moves to the right.
        y: The same for rows.
    """
    return _matrices([[1, x, 0], [y, 1 + x * y, 0], [0, 0, 1]])


def translation(x: Array, y: Array) -> Array:
    """Returns shifts by x pixels to the right and y pixels down, `[batch, 3, 3]`."""
    return _matrices([[1, 0, x], [0, 1, y], [0, 0, 1]])


def scaling(x: Array, y: Array) -> Array:
    """Returns magnifications about the centre, `[batch, 3, 3]`; -1 is a mirror."""
    return _matrices([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def cropping(boxes: Array, height: int, width: int) -> Array:
    """Returns what makes a box of an image as large as the image, `[batch, 3, 3]`.

    Args:
        boxes: Left, top, right and bottom, `[batch, 4]`: pixel k reaches from k to
            k + 1.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
    """
    left, top, right, bottom = boxes.T.astype(jnp.float32)
    across, down = width / (right - left), height / (bottom - top)
    x, y = (width - left - right) / 2, (height - top - bottom) / 2
    return _matrices([[across, 0, across * x], [0, down, down * y], [0, 0, 1]])


def product(second: Array, first: Array) -> Array:
    """Returns what does `first` and then `second`, not rounded as accelerators like."""
    return jnp.matmul(second, first, precision=jax.lax.Precision.HIGHEST)


def homography(start: Array, end: Array) -> Array:
    """Returns the perspective that takes four points to four others, `[batch, 3, 3]`.

    Args:
        start: Points (x, y) about the centre, in order around, `[batch, 4, 2]`; no
            three on a line.
        end: Where they go, `[batch, 4, 2]`.

    References:
        Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section
        2.2.3 (square to quadrilateral).
    """
    return product(_from_square(end), inverse(_from_square(start)))


def _from_square(corners: Array) -> Array:
    """Returns what takes (0, 0), (1, 0), (1, 1), (0, 1) to the corners."""
    x0, x1, x2, x3 = jnp.moveaxis(corners[..., 0], 1, 0)
    y0, y1, y2, y3 = jnp.moveaxis(corners[..., 1], 1, 0)
    right, up = (x1 - x2, y1 - y2), (x3 - x2, y3 - y2)
    skew = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3)
    area = right[0] * up[1] - up[0] * right[1]
    g = (skew[0] * up[1] - up[0] * skew[1]) / area
    h = (right[0] * skew[1] - skew[0] * right[1]) / area
    return _matrices(
        [
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
            [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
            [g, h, 1],
        ]
    )


def inverse(matrices: Array) -> Array:
    """Returns the inverses of `[batch, 3, 3]`, by cofactors."""
    first, second, third = jnp.moveaxis(matrices, 1, 0)
    adjugate = [
        jnp.cross(second, third),
        jnp.cross(third, first),
        jnp.cross(first, second),
    ]
    determinant = (first * adjugate[0]).sum(axis=-1)
    return jnp.stack(adjugate, axis=-1) / determinant[:, None, None]


def moved(matrices: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Returns where points go.

    Args:
        matrices: `[batch, 3, 3]`.
        x: `[batch, points]`, about the centre.
        y: `[batch, points]`, about the centre.
    """
    # Written out: a product of matrices might be rounded as the accelerator likes.
    a = matrices[:, :, :, None]
    far = a[:, 2, 0] * x + a[:, 2, 1] * y + a[:, 2, 2]
    right = (a[:, 0, 0] * x + a[:, 0, 1] * y + a[:, 0, 2]) / far
    return right, (a[:, 1, 0] * x + a[:, 1, 1] * y + a[:, 1, 2]) / far


def _matrices(rows: list[list]) -> Array:
    """Returns `[batch, 3, 3]` from entries that are numbers or `[batch]`."""
    size = next(
        (len(x) for row in rows for x in row if not isinstance(x, int | float)), 1
    )
    entries = [
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), size) for r in rows for x in r
    ]
    return jnp.stack(entries, axis=1).reshape(-1, 3, 3)
