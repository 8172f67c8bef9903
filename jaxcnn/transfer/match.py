"""Arrays of a file against the leaves of a model: every difference at once."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from jaxcnn.models.key_map import key_maps
from jaxcnn.transfer.convert import Converted, convert_weights, recognise_source
from jaxcnn.tree import flatten_named, nearest
from jaxcnn.typing import PyTree

#: The source of files in our own names, such as `"params/stem/conv/kernel"`.
NATIVE = "jaxcnn"
_SHOWN = 8


def find_source(
    model: nn.Module,
    shapes: PyTree,
    arrays: Mapping[str, np.ndarray],
    name: str,
    source: str | None = None,
) -> str:
    """Returns whose names the arrays have.

    Args:
        model: The model that they are for.
        shapes: Its variables' shapes.
        arrays: The arrays by name.
        name: What to call the model in messages.
        source: The answer, if the caller knows it; it is checked.

    Raises:
        ValueError: if the source is unknown, or no name is one of this model.
    """
    known = [*key_maps(model), NATIVE]
    if source is not None:
        if source not in known:
            raise ValueError(
                f"source={source!r} is unknown for {name}."
                f"{nearest(source, known)} Allowed: {', '.join(map(repr, known))}."
            )
        return source
    if not flatten_named(shapes).keys().isdisjoint(arrays):
        return NATIVE
    found = recognise_source(model, shapes, arrays)
    if found is None:
        raise ValueError(
            f"The weights are not those of {name}: their names are "
            f"{cut(map(repr, arrays))}; known are those of {', '.join(known)}."
        )
    return found


def match_weights(
    model: nn.Module, shapes: PyTree, arrays: Mapping[str, np.ndarray], source: str
) -> Converted:
    """Returns what fits of the arrays, and all that does not.

    Args:
        model: The model that they are for.
        shapes: Its variables' shapes.
        arrays: The arrays by the names of `source`.
        source: `NATIVE`, or a key of `key_maps(model)`.
    """
    if source != NATIVE:
        return convert_weights(model, shapes, arrays, source)
    leaves = flatten_named(shapes)
    flat, mismatched = {}, {}
    for name in leaves.keys() & arrays.keys():
        if arrays[name].shape == leaves[name].shape:
            flat[name] = arrays[name]
        else:
            mismatched[name] = (arrays[name].shape, leaves[name].shape)
    return Converted(
        variables=unflatten_dict(flat, sep="/"),
        missing={name: name for name in leaves if name not in arrays},
        unexpected=tuple(name for name in arrays if name not in leaves),
        mismatched=mismatched,
        ignored=(),
    )


def differences(found: Converted) -> list[str]:
    """Returns a line for each kind of difference, every name with the nearest one.

    Args:
        found: What `match_weights` found.

    Returns:
        Lines on what is missing, unexpected, of another shape, and of integers; each
        is cut where it gets long. Empty if all fits.
    """
    wanted, given = list(found.missing.values()), found.unexpected
    wrong = [
        f"{name} is {leaf.dtype}"
        for name, leaf in flatten_named(found.variables).items()
        if not jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    shapes = [
        f"{name} is {shape} and must be {needed}"
        for name, (shape, needed) in found.mismatched.items()
    ]
    kinds = {
        "missing": _with_nearest(wanted, given),
        "unexpected": _with_nearest(given, wanted),
        "of another shape": shapes,
        "not floating point": wrong,
    }
    counts = zip((len(wanted), len(given), len(shapes), len(wrong)), kinds, strict=True)
    return [f"{n:,} {kind}: {cut(kinds[kind], n)}" for n, kind in counts if n]


def cut(names: Iterable[str], count: int | None = None) -> str:
    """Returns the first names, and how many more there are of `count`."""
    names = list(names)
    rest = (len(names) if count is None else count) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _with_nearest(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Returns those of the names that are shown, each with the nearest of others."""
    shown = []
    for name in names[:_SHOWN]:
        near = difflib.get_close_matches(name, others, n=1)
        shown.append(f"{name!r} (nearest: {near[0]!r})" if near else repr(name))
    return shown
