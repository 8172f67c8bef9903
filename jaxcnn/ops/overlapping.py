"""Pooling over windows that overlap or pad, written out position by position."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.ops.written import written
from jaxcnn.typing import Array


class Windows(NamedTuple):
    """Where windows lie: static, and hashable.

    Attributes:
        size: Of the window along each spatial axis.
        stride: Step between windows.
        padding: Positions added (before, after) each spatial axis.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    def counts(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Returns the number of windows along each axis of an image."""
        rows = zip(spatial, self.size, self.stride, self.padding, strict=True)
        return tuple((n + sum(pair) - w) // s + 1 for n, w, s, pair in rows)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def unrolled_max_pool(x: Array, windows: Windows) -> Array:
    """Returns the largest value of each window, `[batch, *windows, channels]`.

    The gradient goes to the first of equal values, as from XLA's, without its
    select-and-scatter. All orders of both modes of differentiation work.

    Args:
        x: Floats, `[batch, *spatial, channels]`.
        windows: Where they lie. Padding never wins.
    """
    lowest = jnp.array(-jnp.inf, x.dtype)
    return functools.reduce(jnp.maximum, _parts(x, windows, lowest))


@unrolled_max_pool.defjvp
def _max_pool_jvp(windows: Windows, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = unrolled_max_pool(x, windows)
    last = math.prod(windows.size) - 1
    winner = jnp.full(y.shape, last, jnp.int8)
    # NaN equals nothing: the padding is nobody's largest value, not even of -inf.
    parts = list(_parts(x, windows, jnp.array(jnp.nan, x.dtype)))
    for k in reversed(range(last)):
        winner = jnp.where(parts[k] == y, jnp.int8(k), winner)
    # Else each of the selections would find the winner again.
    winner = written(winner)

    def gradient(g: Array) -> Array:
        # Around the windows there is no winner.
        chosen = _surround(winner, windows, x.shape, jnp.int8(-1))
        given = _surround(g, windows, x.shape, jnp.zeros((), g.dtype))

        def share(tap: int, where: tuple) -> Array:
            return jnp.where(chosen[where] == tap, given[where], 0)

        return _collect(share, windows, x.shape)

    return y, jax.linear_transpose(gradient, y)(dx)[0]


def unrolled_sum_pool(x: Array, windows: Windows) -> Array:
    """Returns the sum of each window, `[batch, *windows, channels]`; padding is zero.

    Args:
        x: Floats, `[batch, *spatial, channels]`.
        windows: Where they lie.
    """
    return _sum_pool(x, windows)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _sum_pool(x: Array, windows: Windows) -> Array:
    return functools.reduce(jnp.add, _parts(x, windows, jnp.zeros((), x.dtype)))


@_sum_pool.defjvp
def _sum_pool_jvp(windows: Windows, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = _sum_pool(x, windows)

    def gradient(g: Array) -> Array:
        given = _surround(g, windows, x.shape, jnp.zeros((), g.dtype))
        return _collect(lambda tap, where: given[where], windows, x.shape)

    return y, jax.linear_transpose(gradient, y)(dx)[0]


def _parts(x: Array, windows: Windows, edge: Array) -> Iterator[Array]:
    """Yields, for each position of the window in turn, its values in all windows."""
    pairs = [(low, high, 0) for low, high in windows.padding]
    counts = windows.counts(x.shape[1:-1])
    if any(map(any, windows.padding)):
        x = jax.lax.pad(x, edge, [(0, 0, 0), *pairs, (0, 0, 0)])
    # Else every position of the window would compute again what makes the image.
    x = written(x)
    for tap in itertools.product(*map(range, windows.size)):
        spans = zip(tap, counts, windows.stride, strict=True)
        yield x[:, *(slice(t, t + (n - 1) * s + 1, s) for t, n, s in spans)]


def _surround(g: Array, windows: Windows, shape: tuple[int, ...], edge: Array) -> Array:
    """Returns `g` as wide as every shift of it in `_collect` needs."""
    pairs = [
        (low, cells - n, 0)
        for (low, cells), n in zip(_cells(windows, shape), g.shape[1:-1], strict=True)
    ]
    return written(jax.lax.pad(g, edge, [(0, 0, 0), *pairs, (0, 0, 0)]))


def _cells(windows: Windows, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Returns two numbers for each axis.

    Windows that a position lies in beside the newest, at most; and cells of `stride`
    positions that cover the padded image.
    """
    rows = zip(shape[1:-1], windows.size, windows.stride, windows.padding, strict=True)
    return [(-(-w // s) - 1, -(-(n + sum(pair)) // s)) for n, w, s, pair in rows]


def _collect(
    share: Callable[[int, tuple], Array], windows: Windows, shape: tuple[int, ...]
) -> Array:
    """Returns the gradient by the image of what the windows share out.

    Position r of cell m (of `stride` positions each) is tap r + stride * t of window
    m - t, for every t that gives a tap.

    Args:
        share: `share(tap, where)` gives tap k's share in the windows `where`.
        windows: Where they lie.
        shape: Of the image.
    """
    cells = _cells(windows, shape)
    numbers = itertools.product(*map(range, windows.size))
    taps = {tap: k for k, tap in enumerate(numbers)}
    phases = []
    for phase in itertools.product(*map(range, windows.stride)):
        total = None
        for tap, k in taps.items():
            rest = zip(tap, phase, windows.stride, strict=True)
            if any((t - r) % s for t, r, s in rest):
                continue
            where = tuple(
                slice(low - t // s, low - t // s + count)
                for t, s, (low, count) in zip(tap, windows.stride, cells, strict=True)
            )
            part = share(k, (slice(None), *where))
            total = part if total is None else total + part
        phases.append(total)
    return _interleave(phases, windows, shape)


def _interleave(
    phases: list[Array | None], windows: Windows, shape: tuple[int, ...]
) -> Array:
    """Returns the image whose cells the phases are, without the padding."""
    known = next(phase for phase in phases if phase is not None)
    phases = [jnp.zeros_like(known) if p is None else p for p in phases]
    rank = len(windows.size)
    if len(phases) == 1:
        image = phases[0]
    else:
        image = jnp.stack(phases).reshape(*windows.stride, *known.shape)
        order = [rank]
        for axis in range(rank):
            order += [rank + 1 + axis, axis]
        image = image.transpose(*order, 2 * rank + 1)
        wide = [n * s for n, s in zip(known.shape[1:-1], windows.stride, strict=True)]
        image = image.reshape(known.shape[0], *wide, known.shape[-1])
    spans = zip(shape[1:-1], windows.padding, strict=True)
    return image[:, *(slice(low, low + n) for n, (low, _) in spans)]
