"""Trees of arrays by name: flatten, mask by regex, count, explain differences."""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import jax

from jaxcnn.typing import PyTree


def path_name(path: tuple[Any, ...]) -> str:
    """Returns the name of a leaf, such as `"conv1/kernel"`, for a JAX key path."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def flatten_named(tree: PyTree) -> dict[str, Any]:
    """Returns the leaves of a tree by name, in the tree's order.

    Example:
        >>> flatten_named({"conv1": {"bias": 1, "kernel": 2}})
        {'conv1/bias': 1, 'conv1/kernel': 2}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_name(path): leaf for path, leaf in leaves}


def map_named(function: Callable[[str, Any], Any], tree: PyTree) -> PyTree:
    """Returns the tree with `function(name, leaf)` in place of every leaf."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function(path_name(path), leaf), tree
    )


def mask(tree: PyTree, pattern: str) -> PyTree:
    """Returns a tree of booleans: True where `pattern` is found in the leaf's name.

    Args:
        tree: Any tree.
        pattern: A regular expression, searched for anywhere in `"a/b/kernel"`.

    Example:
        >>> mask({"conv1": {"bias": 1, "kernel": 2}}, "kernel$")
        {'conv1': {'bias': False, 'kernel': True}}
    """
    compiled = re.compile(pattern)
    return map_named(lambda name, _: compiled.search(name) is not None, tree)


def count_params(params: PyTree) -> int:
    """Returns the number of scalars in a tree of arrays or of shapes.

    Example:
        >>> count_params({"kernel": jax.ShapeDtypeStruct((5, 5, 3, 10), "float32")})
        750
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def describe_differences(got: PyTree, expected: PyTree) -> list[str]:
    """Returns one line for every leaf that is missing, unexpected or of another type.

    Args:
        got: A tree of arrays or of shapes.
        expected: The tree that it should equal in names, shapes and dtypes.

    Returns:
        Lines such as `"head/kernel: got float32[64,10], expected float32[64,5]"`;
        empty if the trees agree.
    """
    ours, theirs = flatten_named(got), flatten_named(expected)
    lines = [f"{name}: missing" for name in theirs if name not in ours]
    lines += [f"{name}: unexpected" for name in ours if name not in theirs]
    for name in ours.keys() & theirs.keys():
        one, two = _type_of(ours[name]), _type_of(theirs[name])
        if one != two:
            lines.append(f"{name}: got {one}, expected {two}")
    return sorted(lines)


def _type_of(leaf: Any) -> str:
    """Returns `"float32[3,4]"` for an array or a shape."""
    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        return type(leaf).__name__
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the closest allowed name, or `""`.

    Example:
        >>> nearest("resnet5", ["resnet50", "lenet"])
        " Did you mean 'resnet50'?"
    """
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
