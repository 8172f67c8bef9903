"""Pooling to a size that is given, whatever the size that comes."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxcnn.ops.pooling import avg_pool, max_pool
from jaxcnn.typing import Array

Size = int | Sequence[int | None]


def adaptive_avg_pool(x: Array, output_size: Size) -> Array:
    r"""Returns the means of windows that lie evenly over each spatial axis.

    Along an axis of :math:`n` positions window :math:`i` of :math:`m` is PyTorch's:
    from :math:`\lfloor i n / m \rfloor` up to, not including,
    :math:`\lceil (i + 1) n / m \rceil`. Windows overlap where :math:`m` does not divide
    :math:`n`, and repeat positions where it is larger.

    Args:
        x: `[batch, *spatial, channels]`, of any number of spatial axes.
        output_size: One number, or one for each spatial axis; `None` among them keeps
            that axis.

    Raises:
        ValueError: if the size is no positive number, or given for other axes.

    Example:
        >>> row = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0])[None, :, None]
        >>> adaptive_avg_pool(row, 3)[0, :, 0].tolist()
        [1.5, 3.0, 4.5]
    """
    sizes = _sizes("adaptive_avg_pool", x, output_size)
    if (window := _whole(x, sizes)) is not None:
        return avg_pool(x, window)
    for axis, size in enumerate(sizes, 1):
        x = _mean_axis(x, axis, size)
    return x


def adaptive_max_pool(x: Array, output_size: Size) -> Array:
    """Returns the largest values of windows that lie evenly over each spatial axis.

    The windows are those of `adaptive_avg_pool`. The gradient goes to the first of
    equal values, in the order of rows.

    Args:
        x: `[batch, *spatial, channels]`, of any number of spatial axes.
        output_size: As in `adaptive_avg_pool`.

    Raises:
        ValueError: if the size is no positive number, or given for other axes.

    Example:
        >>> row = jnp.array([1, 2, 3, 4, 5])[None, :, None]
        >>> adaptive_max_pool(row, 3)[0, :, 0].tolist()
        [2, 4, 5]
        >>> adaptive_max_pool(row, 7)[0, :, 0].tolist()
        [1, 2, 3, 3, 4, 5, 5]
    """
    sizes = _sizes("adaptive_max_pool", x, output_size)
    if (window := _whole(x, sizes)) is not None:
        return max_pool(x, window)
    # The last axis first: of equal values the first row's then wins.
    for axis, size in reversed(list(enumerate(sizes, 1))):
        x = _max_axis(x, axis, size)
    return x


def _mean_axis(x: Array, axis: int, size: int) -> Array:
    """Returns the means along one axis: a product with a matrix of zeros and ones."""
    starts, ends = _windows(x.shape[axis], size)
    position = np.arange(x.shape[axis])[:, None]
    inside = (starts <= position) & (position < ends)
    sums = jnp.tensordot(
        x,
        inside.astype(x.dtype),
        axes=(axis, 0),
        precision="highest",
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    means = sums / (ends - starts).reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.moveaxis(means, -1, axis).astype(x.dtype)


def _max_axis(x: Array, axis: int, size: int) -> Array:
    """Returns the largest values along one axis, of windows that are filled up."""
    starts, ends = _windows(x.shape[axis], size)
    steps = np.arange((ends - starts).max())
    index = np.minimum(starts[:, None] + steps, ends[:, None] - 1)
    windows = jnp.moveaxis(jnp.take(x, index, axis=axis), axis + 1, -1)
    winner = jnp.argmax(windows, axis=-1, keepdims=True)
    return jnp.take_along_axis(windows, winner, axis=-1)[..., 0]


def _windows(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each of `count` windows over `size` positions begins and ends."""
    number = np.arange(count)
    return number * size // count, -(-(number + 1) * size // count)


def _whole(x: Array, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Returns the window that tiles the axes, or `None` if none does."""
    pairs = list(zip(x.shape[1:-1], sizes, strict=True))
    return (
        None if any(n % size for n, size in pairs) else tuple(n // m for n, m in pairs)
    )


def _sizes(who: str, x: Array, output_size: Size) -> tuple[int, ...]:
    rank = x.ndim - 2
    given = (output_size,) * rank if isinstance(output_size, int) else output_size
    sizes = tuple(
        n if size is None else size
        for n, size in zip(x.shape[1:-1], tuple(given), strict=False)
    )
    if len(tuple(given)) != rank or any(size < 1 for size in sizes):
        raise ValueError(
            f"{who}: output_size must be a positive number, or one (or None) for each "
            f"of {rank} spatial axes, got {output_size}."
        )
    return sizes
