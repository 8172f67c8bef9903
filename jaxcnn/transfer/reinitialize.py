"""Parts of a model's variables drawn again."""

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from jaxcnn.layers.checks import check_choice
from jaxcnn.layers.initializers import (
    INITIALIZER_NAMES,
    Initializer,
    make_initializer,
)
from jaxcnn.tree import flatten_named, map_named, nearest
from jaxcnn.typing import Array, PyTree


def reinitialize(
    variables: PyTree, key: Array, initializers: Mapping[str, str | Initializer]
) -> PyTree:
    """Returns variables in which the leaves that a regex matches are drawn again.

    What a leaf becomes depends on `key`, its own name, shape and type and its
    initialiser, and on nothing else: more regexes or other layers do not change it.

    Args:
        variables: Any tree, such as `{"params": ..., "batch_stats": ...}`. It is left
            as it is.
        key: A random key.
        initializers: By regular expression, searched for anywhere in a leaf's name
            (`"params/stage1_block1/conv1/conv/kernel"`), a name of
            `jaxcnn.layers.INITIALIZERS` or a function `(key, shape, dtype)`. Where
            several match, the last one counts.

    Returns:
        A tree of the same structure, shapes and types; leaves that nothing matches are
        the same arrays.

    Raises:
        ValueError: if a regex matches no leaf (the nearest name is given) or is none,
            an initialiser is unknown, or one cannot draw a leaf of that shape.

    Example:
        >>> params = {"head": {"bias": jnp.ones(2), "kernel": jnp.ones((3, 2))}}
        >>> new = reinitialize({"params": params}, jax.random.key(0), {"bias": "zeros"})
        >>> new["params"]["head"]["bias"].tolist()
        [0.0, 0.0]
        >>> new["params"]["head"]["kernel"] is params["head"]["kernel"]
        True
    """
    names = list(flatten_named(variables))
    chosen = {}
    for pattern, initializer in initializers.items():
        if not callable(initializer):
            check_choice(f"initializers[{pattern!r}]", initializer, INITIALIZER_NAMES)
        chosen |= dict.fromkeys(
            _matches(pattern, names), (initializer, make_initializer(initializer))
        )

    def draw(name: str, leaf: Any) -> Any:
        if name not in chosen:
            return leaf
        # Not Python's hash, which differs from process to process.
        leaf_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        initializer, init = chosen[name]
        try:
            return init(leaf_key, leaf.shape, leaf.dtype)
        except ValueError as error:
            raise ValueError(
                f"{name} of shape {tuple(leaf.shape)} cannot be drawn by "
                f"{initializer!r}: {error} A regex that ends in 'kernel$' leaves out "
                "biases and scales."
            ) from error

    return map_named(draw, variables)


def _matches(pattern: str, names: Iterable[str]) -> list[str]:
    """Returns the names in which `pattern` is found: at least one."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}.") from error
    found = [name for name in names if compiled.search(name)]
    if not found:
        raise ValueError(
            f"{pattern!r} matches no leaf.{nearest(pattern, _parts(names))} "
            f"The leaves are named like {', '.join(map(repr, _few(names)))}."
        )
    return found


def _parts(names: Iterable[str]) -> list[str]:
    """Returns every run of neighbouring parts of the names, such as `"head/kernel"`."""
    parts = {}
    for name in names:
        words = name.split("/")
        for start in range(len(words)):
            for end in range(start + 1, len(words) + 1):
                parts["/".join(words[start:end])] = None
    return list(parts)


def _few(names: Iterable[str]) -> list[str]:
    """Returns the first and the last name."""
    names = list(names)
    return list(dict.fromkeys([*names[:1], *names[-1:]]))
