"""Pooling over the spatial axes of `[batch, *spatial, channels]`."""

import functools
import itertools
import math
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.ops.overlapping import Windows, unrolled_max_pool, unrolled_sum_pool
from jaxcnn.ops.written import written
from jaxcnn.typing import Array

Size = int | Sequence[int]
Padding = str | int | Sequence[tuple[int, int]]

# The windows are unrolled: beyond this many positions compilation costs more than it
# saves.
_MOST_UNROLLED = 16

_DETERMINISTIC = "xla_gpu_deterministic_ops"


def max_pool(
    x: Array,
    window: Size,
    stride: Size | None = None,
    padding: Padding = "VALID",
    *,
    ceil_mode: bool = False,
) -> Array:
    """Returns the largest value of each window.

    The gradient goes to the first of equal values, in the order of rows, as in
    PyTorch. Where windows neither overlap nor pad, as in almost every network, it is
    an elementwise selection: on CPU about seven times faster than the
    select-and-scatter that XLA derives from `reduce_window`. Small windows that overlap
    or pad are written out as selections on CPU, and on GPUs where XLA is told to be
    deterministic, since its own gradient does not compile there.

    Args:
        x: `[batch, *spatial, channels]`, of any number of spatial axes.
        window: Size of the window, one number or one for each spatial axis.
        stride: Step between windows; the window's size by default. Positions that
            fill no whole window are left out.
        padding: `"VALID"`, `"SAME"`, a number for every side, or a (low, high) pair
            for each spatial axis. Padding never wins.
        ceil_mode: Whether the last window may reach beyond the (padded) image, as long
            as it begins in the image or in the padding before it; sizes are then
            rounded up, as by PyTorch's and Caffe's pools of this name.

    Raises:
        ValueError: if an argument does not fit the spatial axes, or no window fits.

    Example:
        >>> x = jnp.array([[1, 3, 1, 2], [9, 5, 6, 5], [9, 1, 1, 2], [0, 2, 8, 2]])
        >>> max_pool(x[None, :, :, None], 2)[0, :, :, 0].tolist()
        [[9, 6], [9, 8]]
        >>> x = jnp.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
        >>> max_pool(x[None, :, :, None], 2)[0, :, :, 0].tolist()
        [[6, 8], [3, 4]]
    """
    window, stride, padding = _arguments(
        "max_pool", x, window, stride, padding, ceil_mode
    )
    unpadded = padding != "SAME" and not any(map(any, padding))
    if window == stride and unpadded and math.prod(window) <= _MOST_UNROLLED:
        return _max_pool_blocks(x, window)

    def plain(x: Array) -> Array:
        return nn.max_pool(x, window, stride, padding)

    return _unrolled(unrolled_max_pool, plain, x, window, stride, padding)


def avg_pool(
    x: Array,
    window: Size,
    stride: Size | None = None,
    padding: Padding = "VALID",
    *,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
) -> Array:
    """Returns the mean of each window.

    Args:
        x: `[batch, *spatial, channels]`, of any number of spatial axes.
        window: Size of the window, one number or one for each spatial axis.
        stride: Step between windows; the window's size by default.
        padding: As in `max_pool`.
        count_include_pad: Whether padded zeros count as values (PyTorch's default).
        ceil_mode: As in `max_pool`. What a window then reaches beyond the padded image
            never counts, as in PyTorch.

    Raises:
        ValueError: if an argument does not fit the spatial axes, or no window fits.

    Example:
        >>> x = jnp.array(
        ...     [
        ...         [3, 3, 2, 1, 0],
        ...         [0, 0, 1, 3, 1],
        ...         [3, 1, 2, 2, 3],
        ...         [2, 0, 0, 2, 2],
        ...         [2, 0, 0, 0, 1.0],
        ...     ]
        ... )
        >>> for row in avg_pool(x[None, :, :, None], 3, 1)[0, :, :, 0]:
        ...     print(*[f"{mean:.1f}" for mean in row])
        1.7 1.7 1.7
        1.0 1.2 1.8
        1.1 0.8 1.3
        >>> row = jnp.arange(1.0, 6.0)[None, :, None]
        >>> avg_pool(row, 2, ceil_mode=True)[0, :, 0].tolist()
        [1.5, 3.5, 5.0]
    """
    given = padding
    window, stride, padding = _arguments(
        "avg_pool", x, window, stride, padding, ceil_mode
    )
    if padding == "SAME" or not ceil_mode:
        return _average(x, window, stride, padding, count_include_pad)
    inside = (
        _pairs("avg_pool", x, given) if count_include_pad else [(0, 0)] * len(window)
    )
    counts = [
        _counts(n, *rest)
        for n, *rest in zip(x.shape[1:-1], window, stride, padding, inside, strict=True)
    ]
    counts = functools.reduce(np.multiply.outer, counts)[None, ..., None]
    return _sum(x, window, stride, padding) / counts.astype(x.dtype)


def sum_pool(
    x: Array,
    window: Size,
    stride: Size | None = None,
    padding: Padding = "VALID",
    *,
    ceil_mode: bool = False,
) -> Array:
    """Returns the sum of each window.

    Args:
        x: `[batch, *spatial, channels]`, of any number of spatial axes.
        window: Size of the window, one number or one for each spatial axis.
        stride: Step between windows; the window's size by default.
        padding: As in `max_pool`; padded zeros add nothing.
        ceil_mode: As in `max_pool`.

    Raises:
        ValueError: if an argument does not fit the spatial axes, or no window fits.

    Example:
        >>> x = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> sum_pool(x[None, :, :, None], 2, 1)[0, :, :, 0].tolist()
        [[12.0, 16.0]]
    """
    arguments = _arguments("sum_pool", x, window, stride, padding, ceil_mode)
    return _sum(x, *arguments)


def global_average_pool(x: Array) -> Array:
    """Returns the mean over all positions, `[batch, channels]`."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))


def global_max_pool(x: Array) -> Array:
    """Returns the largest value of all positions, `[batch, channels]`.

    Equal largest values share the gradient.

    Example:
        >>> global_max_pool(jnp.array([[[1, 8], [5, 2], [3, 4]]])).tolist()
        [[5, 8]]
    """
    return jnp.max(x, axis=tuple(range(1, x.ndim - 1)))


def _average(x, window, stride, padding, count_include_pad):
    """Returns the mean of each window, without windows that are rounded up."""

    def plain(x: Array) -> Array:
        mean = nn.avg_pool(x, window, stride, padding, count_include_pad)
        # Flax divides by float32 counts; a short type is to stay.
        return mean.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else mean

    def unrolled(x: Array, windows: Windows) -> Array:
        total = unrolled_sum_pool(x, windows)
        if count_include_pad:
            return total / math.prod(windows.size)
        rows = zip(x.shape[1:-1], *windows, strict=True)
        counts = [_counts(n, w, s, pair, (0, 0)) for n, w, s, pair in rows]
        counts = functools.reduce(np.multiply.outer, counts)[None, ..., None]
        return total / counts.astype(x.dtype)

    return _unrolled(unrolled, plain, x, window, stride, padding)


def _unrolled(pool, plain, x, window, stride, padding):
    """Returns what `pool` computes where that is faster or alone works, or `plain`."""
    floats = jnp.issubdtype(x.dtype, jnp.floating)
    if not floats or math.prod(window) > _MOST_UNROLLED or 0 in x.shape:
        return plain(x)
    if padding == "SAME":
        padding = jax.lax.padtype_to_pads(x.shape[1:-1], window, stride, padding)
    windows = Windows(window, stride, tuple(map(tuple, padding)))
    unrolled = functools.partial(pool, windows=windows)
    if _is_deterministic():
        return jax.lax.platform_dependent(
            x, cpu=unrolled, cuda=unrolled, rocm=unrolled, default=plain
        )
    return jax.lax.platform_dependent(x, cpu=unrolled, default=plain)


def _is_deterministic() -> bool:
    # XLA reads it there too, and has no gradient of `reduce_window` under it.
    flags = os.environ.get("XLA_FLAGS", "").split()
    given = [f.partition("=") for f in flags if f.startswith("--" + _DETERMINISTIC)]
    return bool(given) and given[-1][2].lower() in ("", "true", "1")


def _sum(x, window, stride, padding):
    # A NumPy zero is a constant under jit too: only so the sum has a gradient.
    return nn.pooling.pool(
        x, np.zeros((), x.dtype), jax.lax.add, window, stride, padding
    )


def _counts(size, window, stride, padding, counted):
    """Returns how many values count in each window along one axis.

    They lie from `counted[0]` before the axis to `counted[1]` behind it, which has
    `padding` on both sides.
    """
    low, high = padding
    starts = np.arange(0, size + low + high - window + 1, stride) - low
    ends = np.minimum(starts + window, size + counted[1])
    return ends - np.maximum(starts, -counted[0])


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max_pool_blocks(x: Array, window: tuple[int, ...]) -> Array:
    """Pools windows that tile `x`; what is left over at the ends is cropped."""
    return functools.reduce(jnp.maximum, _strided_slices(x, window))


@_max_pool_blocks.defjvp
def _max_pool_blocks_jvp(window, primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _max_pool_blocks(x, window)
    count = math.prod(window)
    winner = jnp.full(y.shape, count - 1, jnp.int8)
    for k, part in reversed(list(enumerate(_strided_slices(x, window)))[:-1]):
        winner = jnp.where(part == y, jnp.int8(k), winner)
    # Else each of the positions would find its window's winner again.
    winner = written(winner)

    spatial = y.shape[1:-1]
    cropped = [slice(0, n * w) for n, w in zip(spatial, window, strict=True)]
    tiles = itertools.chain(*zip(spatial, window, strict=True))
    dx = written(dx)[:, *cropped].reshape(y.shape[0], *tiles, y.shape[-1])
    inside = tuple(range(2, dx.ndim - 1, 2))
    order = jnp.arange(count, dtype=jnp.int8).reshape(window)
    order = jnp.expand_dims(order, [a for a in range(dx.ndim) if a not in inside])
    chosen = jnp.expand_dims(winner, inside) == order
    return y, written(jnp.where(chosen, dx, 0).sum(inside))


def _strided_slices(x: Array, window: tuple[int, ...]) -> list[Array]:
    """Returns, for each position of the window in turn, its values in all windows."""
    ends = [size // w * w for size, w in zip(x.shape[1:-1], window, strict=True)]
    return [
        x[:, *(slice(*each) for each in zip(starts, ends, window, strict=True))]
        for starts in itertools.product(*map(range, window))
    ]


def _arguments(who, x, window, stride, padding, ceil_mode):
    """Returns window, stride and padding for each spatial axis, checked."""
    rank = x.ndim - 2
    window = _each(who, "window", window, rank)
    stride = window if stride is None else _each(who, "stride", stride, rank)
    padding = _pairs(who, x, padding)
    if padding == "SAME":
        return window, stride, padding
    if any(max(pair) >= w for pair, w in zip(padding, window, strict=True)):
        raise ValueError(
            f"{who}: padding must be smaller than the window {window}, or windows hold "
            f"nothing but padding, got {padding}."
        )
    if ceil_mode:
        padding = _round_up(x, window, stride, padding)
    sizes = [
        n + low + high for n, (low, high) in zip(x.shape[1:-1], padding, strict=True)
    ]
    if any(size < w for size, w in zip(sizes, window, strict=True)):
        raise ValueError(
            f"{who}: a window of {window} does not fit an input of shape {x.shape}."
        )
    return window, stride, padding


def _round_up(x, window, stride, padding):
    """Returns the padding with room at the end for one more, incomplete window."""
    pairs = []
    for n, w, s, (low, high) in zip(
        x.shape[1:-1], window, stride, padding, strict=True
    ):
        windows = -(-(n + low + high - w) // s) + 1
        if (windows - 1) * s >= n + low:  # it would begin in the padding
            windows -= 1
        needed = (windows - 1) * s + w - n - low if windows > 0 else 0
        pairs.append((low, max(high, needed)))
    return pairs


def _pairs(who: str, x: Array, padding: Padding) -> str | list[tuple[int, int]]:
    """Returns `"SAME"`, or a (low, high) pair for each spatial axis."""
    rank = x.ndim - 2
    if isinstance(padding, int):
        return [(padding, padding)] * rank
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(
                f"{who}: padding must be 'SAME', 'VALID', a number or pairs, "
                f"got {padding!r}."
            )
        return "SAME" if padding.upper() == "SAME" else [(0, 0)] * rank
    if len(padding) != rank:
        raise ValueError(
            f"{who}: padding needs {rank} pairs for an input of shape {x.shape}, "
            f"got {padding}."
        )
    return [(low, high) for low, high in padding]


def _each(who: str, name: str, value: Size, rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(v < 1 for v in values):
        raise ValueError(
            f"{who}: {name} must be a positive number, or one for each of {rank} "
            f"spatial axes, got {value}."
        )
    return values
