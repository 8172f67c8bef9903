"""Tangents of linear maps whose gradients are written out."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def transposed(gradient: Callable[[Array], Array], y: Array) -> Callable:
    """Returns the linear map whose transpose, which JAX takes, is `gradient`."""
    transpose = jax.linear_transpose(gradient, y)
    return lambda tangent: transpose(tangent)[0]


def sum_of_tangents(
    y: Array, *terms: tuple[Any, Callable[[Array], Array], Array]
) -> Array:
    """Returns the tangent of `y`, for a rule with symbolic zeros.

    Args:
        y: The value, linear in each of the arguments.
        *terms: For each argument its tangent, the gradient by it as a function of that
            by `y`, and the argument.
    """
    parts = [
        transposed(gradient, y)(tangent.astype(argument.dtype))
        for tangent, gradient, argument in terms
        if not isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    ]
    return functools.reduce(jnp.add, parts) if parts else jnp.zeros_like(y)
