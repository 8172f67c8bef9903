"""What random augmentations draw, and the ranges that they take."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def uniform(keys: Array, count: int = 1) -> Array:
    """Returns numbers in [-1, 1) for every key, `[count, batch]`."""
    draws = jax.vmap(lambda key: jax.random.uniform(key, (count,), minval=-1.0))
    return draws(keys).T


def mixture(draws: Array, low: float, high: float) -> Array:
    """Returns draws in [-1, 1) as numbers in [low, high)."""
    return low + (high - low) * (draws + 1) / 2


def chosen(draws: Array, probability: float) -> Array:
    """Returns whether draws in [-1, 1) fall into a share, of the draws' shape."""
    return (draws + 1) / 2 < probability


def per_image(values: Array) -> Array:
    """Returns `[batch]` as `[batch, 1, 1, 1]`, to go with images."""
    return jnp.asarray(values)[:, None, None, None]


def check_range(
    name: str, value: Any, low: float, high: float, *, pair: bool = False
) -> None:
    """Raises unless a number, or two numbers in order, lie in [low, high].

    Raises:
        ValueError: naming the argument, the value and the range.
    """
    values = value if pair else (value,)
    good = isinstance(values, tuple | list) and len(values) == (2 if pair else 1)
    good = good and all(_is_number(x) for x in values)
    if not good or not low <= values[0] <= values[-1] <= high:
        kind = "two numbers in order" if pair else "a number"
        raise ValueError(f"{name}={value!r} must be {kind} from {low:g} to {high:g}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
