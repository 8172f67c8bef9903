"""Many points at which the same is computed: a few at a time, compiled once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array, PyTree

# Within a loop XLA's CPU backend runs convolutions on one core, several times slower;
# so there few parts are written out one after the other.
_WRITTEN_OUT = 8


def copies_within(batch_size: int, batch: int) -> int:
    """Returns how many copies of a batch are within `batch_size` images, at least 1.

    Raises:
        ValueError: if `batch_size` is not a whole number of at least 1.
    """
    check_number("batch_size", batch_size, 1)
    return max(1, batch_size // batch)


def is_traced(*trees: PyTree) -> bool:
    """Tells whether somebody compiles or differentiates around the caller."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def map_points(
    function: Callable[[Any], Array], points: Array, at_a_time: int, *, traced: bool
) -> Array:
    """Returns `function` of each of `[n, ...]` points, stacked.

    Args:
        function: Pure, of one point.
        points: `[n, ...]`.
        at_a_time: Points that are computed as one batch.
        traced: Whether this is part of a computation that is being compiled.
    """
    parts, rest = _parted(points, at_a_time)
    part = jax.vmap(function)
    if _looped(len(parts), traced):
        found = list(lax.map(part, parts))
    else:
        compiled = part if traced else jax.jit(part)
        found = [compiled(chosen) for chosen in parts]
    return jnp.concatenate([*found, *([part(rest)] if len(rest) else [])])


def sum_points(
    function: Callable[[Any], Array],
    points: Array,
    weights: Array,
    at_a_time: int,
    *,
    traced: bool,
) -> Array:
    """Returns the sum over points of weight times function, and keeps no more than it.

    Args:
        function: Pure, of one point.
        points: `[n, ...]`.
        weights: `[n]`.
        at_a_time: Points that are computed as one batch.
        traced: Whether this is part of a computation that is being compiled.
    """

    def part(chosen: Array, weights: Array) -> Array:
        return jnp.tensordot(weights, jax.vmap(function)(chosen), axes=1)

    (parts, rest), (heavy, light) = (_parted(x, at_a_time) for x in (points, weights))
    if _looped(len(parts), traced):
        shape = jax.eval_shape(function, points[0])
        start = jnp.zeros(shape.shape, shape.dtype)
        total, _ = lax.scan(lambda t, x: (t + part(*x), None), start, (parts, heavy))
    else:
        compiled = part if traced else jax.jit(part)
        total = sum(compiled(*chosen) for chosen in zip(parts, heavy, strict=True))
    return total + part(rest, light) if len(rest) else total


def _looped(parts: int, traced: bool) -> bool:
    return traced and (jax.default_backend() != "cpu" or parts > _WRITTEN_OUT)


def _parted(points: Array, at_a_time: int) -> tuple[Array, Array]:
    """Returns full parts, `[parts, at_a_time, ...]`, and what is left over."""
    at_a_time = min(at_a_time, len(points))
    whole = len(points) // at_a_time * at_a_time
    return points[:whole].reshape(-1, at_a_time, *points.shape[1:]), points[whole:]
