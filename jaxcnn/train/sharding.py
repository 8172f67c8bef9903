"""Which device holds which part of a state: rules, and trees of shardings."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcnn import tree
from jaxcnn.tree import flatten_named, nearest
from jaxcnn.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Shard:
    """How parameters are split over one axis of a mesh; what is not split is copied.

    Attributes:
        min_size: Parameters of so many numbers or more are split along their largest
            axis that the devices divide, the last of equals. None splits none by size.
        rules: `(regex, axis)`, looked at before the size. The first whose pattern is
            found in a parameter's name, such as `"stem/conv/kernel"`, decides: `axis`
            is the one to split (negative from the end), or None to copy.
        axis: The mesh axis to split over.

    Raises:
        ValueError: if a number or a rule is not allowed, or nothing is to be split.
    """

    min_size: int | None = None
    rules: tuple[tuple[str, int | None], ...] = ()
    axis: str = "fsdp"

    def __post_init__(self) -> None:
        if self.min_size is not None and not _is_count(self.min_size):
            raise ValueError(f"min_size must be 1 or more, got {self.min_size!r}.")
        object.__setattr__(self, "rules", _checked(self.rules))
        if self.min_size is None and all(axis is None for _, axis in self.rules):
            raise ValueError(
                "Sharding needs min_size, or a rule (regex, axis) that splits: "
                f"got min_size=None and rules={list(self.rules)}."
            )


def as_shard(shard: Shard | int | Sequence[tuple[str, int | None]]) -> Shard:
    """Returns a `Shard` for one, for a smallest size alone or for rules alone.

    Raises:
        ValueError: as `Shard`.
    """
    if isinstance(shard, Shard):
        return shard
    if isinstance(shard, int):
        return Shard(min_size=shard)
    return Shard(rules=tuple(shard) if isinstance(shard, list | tuple) else shard)


def state_shardings(state: PyTree, mesh: Mesh, shard: Shard | None = None) -> PyTree:
    """Returns a `NamedSharding` for every leaf of a train state.

    Parameters follow the rules. Whatever repeats the parameters' names and shapes
    follows them: an optimizer's moments, an average of the weights in `extras`. All
    else (counters, keys, running statistics) is copied to every device.

    Args:
        state: A `TrainState`, or its shapes (`jax.eval_shape`).
        mesh: The devices.
        shard: The rules; None copies everything.

    Raises:
        ValueError: if the mesh has no such axis; if a rule matches no parameter or
            splits an axis that the devices do not divide; if nothing is split.

    Example:
        >>> from jaxcnn.train import TrainState
        >>> mesh = jax.make_mesh((1,), ("fsdp",))
        >>> weights = {"kernel": jax.ShapeDtypeStruct((8, 4), "float32")}
        >>> zeros = jax.eval_shape(lambda: 0)
        >>> state = TrainState(zeros, weights, {}, {"mu": weights}, zeros, {})
        >>> shardings = state_shardings(state, mesh, Shard(min_size=16))
        >>> tuple(shardings.opt_state["mu"]["kernel"].spec)
        ('fsdp',)
    """
    copied = NamedSharding(mesh, PartitionSpec())
    if shard is None:
        return jax.tree.map(lambda _: copied, state)
    if shard.axis not in mesh.axis_names:
        raise ValueError(
            f"The mesh {dict(mesh.shape)} has no axis {shard.axis!r} to split "
            f"parameters over.{nearest(shard.axis, mesh.axis_names)}"
        )
    if not hasattr(state, "params"):
        raise ValueError(
            f"Sharding needs a TrainState, or another tree with params, got "
            f"{type(state).__name__}."
        )
    params = flatten_named(state.params)
    specs = _param_specs(params, mesh.shape[shard.axis], shard)

    def sharding(name: str, leaf: Any) -> NamedSharding:
        spec = _of_same_name(name, leaf, params, specs)
        return copied if spec is None else NamedSharding(mesh, spec)

    return tree.map_named(sharding, state)


def placed(state: PyTree, shardings: PyTree) -> PyTree:
    """Returns the shapes of a state with their shardings: a target to restore into.

    Args:
        state: Arrays, or their shapes.
        shardings: From `state_shardings`.
    """
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        state,
        shardings,
    )


def device_bytes(state: PyTree) -> dict[jax.Device, int]:
    """Returns how many bytes of a state's arrays lie on every device of this process.

    A copy counts on every device that holds one; random keys do not count.
    """
    totals: dict[jax.Device, int] = {}
    for leaf in jax.tree.leaves(state):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        for part in leaf.addressable_shards:
            totals[part.device] = totals.get(part.device, 0) + part.data.nbytes
    return totals


def _param_specs(
    params: dict[str, Any], devices: int, shard: Shard
) -> dict[str, PartitionSpec]:
    """Returns how each parameter that is split is split."""
    _check_reach(shard.rules, list(params))
    specs = {}
    for name, leaf in params.items():
        k = _first_match(shard.rules, name)
        if k is not None:
            axis = _axis_of_rule(shard, k, name, leaf, devices)
        else:
            axis = _axis_by_size(leaf.shape, devices, shard.min_size)
        if axis is not None:
            # Without trailing Nones: so the compiler writes the specs of its outputs.
            specs[name] = PartitionSpec(*[None] * axis, shard.axis)
    if not specs:
        largest = max((math.prod(leaf.shape) for leaf in params.values()), default=0)
        raise ValueError(
            f"{shard} splits no parameter over {devices} devices: the largest has "
            f"{largest} numbers."
        )
    return specs


def _axis_by_size(
    shape: tuple[int, ...], devices: int, min_size: int | None
) -> int | None:
    if min_size is None or math.prod(shape) < min_size:
        return None
    axes = [i for i, size in enumerate(shape) if size and size % devices == 0]
    return max(axes, key=lambda i: (shape[i], i), default=None)


def _axis_of_rule(
    shard: Shard, k: int, name: str, leaf: Any, devices: int
) -> int | None:
    pattern, axis = shard.rules[k]
    if axis is None:
        return None
    what = f"rules[{k}]={pattern!r} splits axis {axis} of {name!r}, {list(leaf.shape)}"
    if not -leaf.ndim <= axis < leaf.ndim:
        raise ValueError(f"{what}, which has no such axis.")
    if leaf.shape[axis] % devices:
        raise ValueError(
            f"{what}, over the {devices} devices of {shard.axis!r}, which do not "
            f"divide {leaf.shape[axis]}."
        )
    return axis % leaf.ndim


def _of_same_name(
    name: str, leaf: Any, params: dict[str, Any], specs: dict[str, PartitionSpec]
) -> PartitionSpec | None:
    """Returns how the parameter is split whose name a leaf's ends with, if any.

    `opt_state/0/mu/conv/kernel` follows `conv/kernel` if it has the same shape; among
    parameters that are each other's endings the longest decides.
    """
    parts = name.split("/")
    for start in range(1, len(parts)):
        ending = "/".join(parts[start:])
        if ending in params and params[ending].shape == leaf.shape:
            return specs.get(ending)
    return None


def _checked(rules: Any) -> tuple[tuple[str, int | None], ...]:
    if not isinstance(rules, list | tuple):
        raise ValueError(f"rules must be a list of (regex, axis), got {rules!r}.")
    for k, rule in enumerate(rules):
        if not isinstance(rule, list | tuple) or len(rule) != 2:
            raise ValueError(f"rules[{k}] must be a pair (regex, axis), got {rule!r}.")
        pattern, axis = rule
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"rules[{k}] must begin with a regular expression, got {pattern!r}: "
                f"{error}."
            ) from None
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ValueError(
                f"rules[{k}] gives {pattern!r} the axis {axis!r}: it must be a whole "
                "number, or None for a copy on every device."
            )
    return tuple((pattern, axis) for pattern, axis in rules)


def _check_reach(rules: Sequence[tuple[str, int | None]], names: list[str]) -> None:
    """Raises ValueError for a rule that no parameter's name matches."""
    for k, (pattern, _) in enumerate(rules):
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(
                f"rules[{k}]={pattern!r} matches none of the parameters: "
                f"{', '.join(names)}."
            )


def _first_match(rules: Sequence[tuple[str, int | None]], name: str) -> int | None:
    matches = (k for k, (pattern, _) in enumerate(rules) if re.search(pattern, name))
    return next(matches, None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
