"""Functions compiled once for equal settings, however often they are asked for."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax


def compiled(function: Callable[..., Any], *settings: Hashable) -> Callable[..., Any]:
    """Returns `jax.jit` of a function of arrays alone, its first arguments given.

    Args:
        function: Takes the settings, then arrays.
        settings: Models, targets, functions: what is no array. Equal ones give the
            same compiled function; what cannot be hashed is compiled at every call.

    Example:
        >>> def scaled(factor, x):
        ...     return factor * x
        >>> compiled(scaled, 3) is compiled(scaled, 3)
        True
    """
    try:
        return _kept(function, *settings)
    except TypeError:
        return _compile(function, *settings)


def _compile(function: Callable[..., Any], *settings: Any) -> Callable[..., Any]:
    return jax.jit(functools.partial(function, *settings))


_kept = functools.lru_cache(maxsize=32)(_compile)
