"""A tree as named arrays plus a table in JSON, and back.

Arrays go to Orbax as a flat dictionary by name. Everything that is not the bytes of an
array goes to the table: dtypes and shapes, which are compared before anything is read;
Python numbers; empty arrays, which Orbax refuses; the kind of a typed random key, whose
bits are saved as `uint32`. So a checkpoint needs no code to be read, whatever classes
the tree was made of.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.tree import describe_differences, flatten_named
from jaxcnn.typing import PyTree

#: Name -> `{"dtype", "shape"}` of an array, also `"impl"` of a key; `{"value"}` of a
#: Python number.
Table = dict[str, dict[str, Any]]
#: Reads arrays by name, each placed as its abstract value says: a `ShapeDtypeStruct`
#: with a sharding gives a JAX array, a NumPy array gives a NumPy array.
Reader = Callable[[dict[str, Any]], Mapping[str, Any]]

_MAX_LISTED = 20


def pack(tree: PyTree) -> tuple[Table, dict[str, Any]]:
    """Returns the table of a tree and its arrays by name.

    Arrays of NumPy are copied, since their owner may change them.

    Raises:
        ValueError: if a leaf is no array and no number, if an array was donated, or if
            two leaves have one name.
    """
    leaves = flatten_named(tree)
    if len(leaves) != len(jax.tree.leaves(tree)) or _folders(leaves) & leaves.keys():
        raise ValueError(
            "Two leaves of the tree have the same name, or one name continues another, "
            "such as 'a/b' for the keys 'a/b' and 'a' -> 'b'. "
            f"The names are {sorted(leaves)}."
        )
    table = {name: _entry(name, leaf) for name, leaf in leaves.items()}
    arrays = {
        name: _bits(leaf) for name, leaf in leaves.items() if _on_disk(table[name])
    }
    return table, arrays


def unpack(
    table: Table, target: PyTree | None, read: Reader, *, partial: bool, source: str
) -> PyTree:
    """Returns a tree of the target's structure with the values of a checkpoint.

    Args:
        table: What `pack` returned.
        target: A tree of arrays or of `jax.ShapeDtypeStruct`. None stands for all
            leaves, as nested dictionaries of NumPy arrays.
        read: Reads the arrays.
        partial: Whether the checkpoint may hold more than the target.
        source: Where the values come from, for messages.

    Raises:
        ValueError: if names, shapes or dtypes differ, with both sides listed.
    """
    if target is None:
        return _nest(_load(table, {name: _host(table[name]) for name in table}, read))
    leaves = flatten_named(target)
    if partial:
        table = {name: table[name] for name in table if name in leaves}
    got = {name: _abstract(entry) for name, entry in table.items()}
    if differences := describe_differences(got, leaves):
        raise ValueError(_message(differences, source))
    values = _load(table, leaves, read)
    return jax.tree.unflatten(jax.tree.structure(target), values.values())


def _message(differences: list[str], source: str) -> str:
    shown = "; ".join(differences[:_MAX_LISTED])
    if len(differences) > _MAX_LISTED:
        shown += f"; and {len(differences) - _MAX_LISTED} more"
    return (
        f"{source} does not fit what it is restored into. "
        f"Got is the checkpoint, expected is the target: {shown}."
    )


def _load(table: Table, targets: dict[str, Any], read: Reader) -> dict[str, Any]:
    """Returns the value of each target, in the order of the targets."""
    wanted = {
        name: _placement(table[name], leaf)
        for name, leaf in targets.items()
        if _on_disk(table[name])
    }
    arrays = read(wanted) if wanted else {}
    return {
        name: _finish(table[name], leaf, arrays.get(name))
        for name, leaf in targets.items()
    }


def _folders(names: Iterable[str]) -> set[str]:
    """Returns `{"a", "a/b"}` for the name `"a/b/c"`."""
    return {
        name[:end] for name in names for end, letter in enumerate(name) if letter == "/"
    }


def _entry(name: str, leaf: Any) -> dict[str, Any]:
    if type(leaf) in (bool, int, float):
        return {"value": leaf}
    if isinstance(leaf, jax.Array):
        if leaf.is_deleted():
            raise ValueError(
                f"The array {name!r} was donated to a step and is gone: save the state "
                "that the step returned."
            )
        entry = {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}
        if _is_key(leaf):
            entry["impl"] = str(jax.random.key_impl(leaf))
        return entry
    if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind not in "OSUMm":
        return {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}
    kind = getattr(leaf, "dtype", type(leaf).__name__)
    raise ValueError(
        f"The leaf {name!r} is of type {kind}; a checkpoint holds arrays of numbers, "
        "random keys and Python numbers."
    )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _on_disk(entry: dict[str, Any]) -> bool:
    """Whether Orbax holds the leaf: all arrays but empty ones."""
    return "shape" in entry and 0 not in entry["shape"]


def _bits(leaf: Any) -> jax.Array | np.ndarray:
    if isinstance(leaf, jax.Array):
        return jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return np.array(leaf)


def _abstract(entry: dict[str, Any]) -> Any:
    """Returns what `describe_differences` can compare with a leaf."""
    if "value" in entry:
        return entry["value"]
    shape = tuple(entry["shape"])
    if "impl" in entry:
        key = jax.eval_shape(lambda: jax.random.key(0, impl=entry["impl"]))
        return jax.ShapeDtypeStruct(shape, key.dtype)
    return jax.ShapeDtypeStruct(shape, np.dtype(entry["dtype"]))


def _stored(entry: dict[str, Any]) -> jax.ShapeDtypeStruct:
    """Returns shape and dtype of the array on disk: of a key, those of its bits."""
    abstract = _abstract(entry)
    if "impl" in entry:
        return jax.eval_shape(jax.random.key_data, abstract)
    return abstract


def _host(entry: dict[str, Any]) -> Any:
    """Returns a target that is restored as NumPy, or as a key on the default device."""
    if "shape" in entry and "impl" not in entry:
        return np.empty(entry["shape"], entry["dtype"])
    return _abstract(entry)


def _sharding(leaf: Any) -> jax.sharding.Sharding | None:
    """Returns where a leaf must go; None means the default device, uncommitted.

    An array that is committed to no device stays so: compiled functions may move it.
    """
    if isinstance(leaf, jax.Array) and not leaf.committed:
        return None
    return getattr(leaf, "sharding", None)


def _placement(entry: dict[str, Any], leaf: Any) -> Any:
    stored, sharding = _stored(entry), _sharding(leaf)
    if sharding is None:
        return np.empty(stored.shape, stored.dtype)
    return jax.ShapeDtypeStruct(stored.shape, stored.dtype, sharding=sharding)


def _finish(entry: dict[str, Any], leaf: Any, array: Any) -> Any:
    """Turns what was read, None for what is not on disk, into the kind of the leaf."""
    if "value" in entry:
        return entry["value"]
    if array is None:
        stored = _stored(entry)
        array = np.empty(stored.shape, stored.dtype)
        if (sharding := _sharding(leaf)) is not None:
            array = jax.device_put(array, sharding)
    if isinstance(leaf, np.ndarray | np.generic):
        return array
    if isinstance(array, np.ndarray):
        array = jnp.array(array)
    if "impl" in entry:
        return jax.random.wrap_key_data(array, impl=entry["impl"])
    return array


def _nest(values: dict[str, Any]) -> Any:
    """Returns nested dictionaries for names with slashes."""
    if set(values) == {""}:
        return values[""]
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = name.split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[last] = value
    return tree
