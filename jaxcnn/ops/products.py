"""Matrix products whose gradients are laid out for a CPU."""

import functools

import jax

from jaxcnn.ops.tangents import sum_of_tangents
from jaxcnn.ops.window import vary_alike
from jaxcnn.ops.written import written
from jaxcnn.typing import Array

_OVER_ROWS = (((0,), (0,)), ((), ()))


def over_rows(a: Array, b: Array) -> Array:
    """Returns `a.T @ b`, computed with the narrower of the two on the left.

    XLA for CPU lays out the left one anew. For 25,088 rows of 256 and of 64 that took
    12.4 ms, the other way round 8.7.

    Args:
        a: `[rows, m]`.
        b: `[rows, n]`.

    Returns:
        `[m, n]`.
    """
    if a.shape[1] <= b.shape[1]:
        return jax.lax.dot_general(a, b, _OVER_ROWS)
    # Without the line between XLA would turn the product round again.
    return written(jax.lax.dot_general(b, a, _OVER_ROWS)).T


def product(x: Array, weights: Array) -> Array:
    """Returns `x @ weights`, whose gradient by the weights is `over_rows`.

    All orders of both modes of differentiation work.

    Args:
        x: `[rows, channels]`.
        weights: `[channels, features]`.

    Returns:
        `[rows, features]`.
    """
    return _product(*vary_alike(x, weights))


@jax.custom_jvp
def _product(x: Array, weights: Array) -> Array:
    return x @ weights


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _product_jvp(primals: tuple, tangents: tuple) -> tuple:
    x, weights = primals
    dx, dweights = tangents
    y = _product(x, weights)
    return y, sum_of_tangents(
        y,
        (dx, lambda g: g @ weights.T, x),
        (dweights, functools.partial(over_rows, x), weights),
    )
