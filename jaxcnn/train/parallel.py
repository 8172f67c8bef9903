"""Compiles a step for one device, for a mesh of devices or for pmap."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcnn.tree import nearest
from jaxcnn.typing import Batch, PyTree


class ParallelStep:
    """A compiled step: called with ordinary state and the global batch.

    Attributes:
        place: `place(batch)` starts the transfer of a batch to where the step wants it
            and returns it; the step takes placed batches and others alike.
        compiled: The jitted (or pmapped) function inside.
        devices: Number of devices that share a batch.
    """

    def __init__(
        self,
        compiled: Callable[[PyTree, Batch], Any],
        devices: int,
        *,
        place: Callable[[Batch], Batch] = lambda batch: batch,
        split: Callable[[Batch], Batch] = lambda batch: batch,
        place_state: Callable[[PyTree], PyTree] = lambda state: state,
    ) -> None:
        self.compiled = compiled
        self.devices = devices
        self.place = place
        self._split = split
        self._place_state = place_state

    def __call__(self, state: PyTree, batch: Batch) -> Any:
        """Returns what the step returns."""
        return self.compiled(*self.arguments(state, batch))

    def arguments(self, state: PyTree, batch: Batch) -> tuple[PyTree, Batch]:
        """Returns what `compiled` is called with: both where it wants them."""
        return self._place_state(state), self._split(batch)


def parallelize(
    step: Callable[[PyTree, Batch], Any],
    how: str | Mesh = "jit",
    *,
    axis_name: str | None = None,
    donate: bool | None = None,
) -> ParallelStep:
    """Returns the step compiled, for ordinary state and the global batch.

    `"jit"` runs on one device. A `jax.sharding.Mesh` splits the batch over all its axes
    and replicates the state: the same numbers as on one device, batch statistics of the
    global batch included. `"pmap"` maps the step over all local devices.

    With several processes (`jax.distributed`), use a mesh over `jax.devices()`; every
    process then gives its own slice of the global batch.

    Args:
        step: From `make_train_step`, `make_eval_step`, or your own
            `step(state, batch)`.
        how: `"jit"`, `"pmap"` or a mesh.
        axis_name: For `"pmap"`: the axis that your own step sums over. The library's
            steps know theirs.
        donate: Whether the state's buffers are given to the step, which saves memory;
            by default true for `make_train_step`'s, false for others.

    Raises:
        ValueError: for another `how`; for `"pmap"` if the step has no `axis_name`; when
            called, if the batch cannot be split evenly over the devices.
    """
    if donate is None:
        donate = getattr(step, "donates", False)
    donated = (0,) if donate else ()
    if isinstance(how, Mesh):
        return _over_mesh(step, how, donated)
    if how == "jit":
        compiled = jax.jit(step, donate_argnums=donated)
        return ParallelStep(compiled, 1, place=jax.device_put)
    if how == "pmap":
        return _over_pmap(step, axis_name or getattr(step, "axis_name", None), donated)
    raise ValueError(
        f"parallelize knows 'jit', 'pmap' and a jax.sharding.Mesh, got {how!r}."
        f"{nearest(str(how), ['jit', 'pmap'])}"
    )


def make_mesh(devices: int | None = None, *, axis_name: str = "data") -> Mesh:
    """Returns a mesh of one axis over the first `devices` devices, by default all.

    Raises:
        ValueError: if there are fewer devices.
    """
    available = jax.device_count()
    devices = available if devices is None else devices
    if not 1 <= devices <= available:
        raise ValueError(f"devices must be in [1, {available}], got {devices}.")
    # Auto axes: under Explicit ones nn.Dropout raises ShardingTypeError.
    return jax.make_mesh(
        (devices,),
        (axis_name,),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[:devices],
    )


def _over_mesh(
    step: Callable[[PyTree, Batch], Any], mesh: Mesh, donated: tuple[int, ...]
) -> ParallelStep:
    replicated = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    local = sum(d.process_index == jax.process_index() for d in mesh.devices.flat)
    compiled = jax.jit(
        step,
        in_shardings=(replicated, split),
        out_shardings=replicated,
        donate_argnums=donated,
    )

    def place(batch: Batch) -> Batch:
        if all(_is_placed(x, split) for x in jax.tree.leaves(batch)):
            return batch
        _require_divisible(batch, local)
        if jax.process_count() == 1:
            return jax.device_put(batch, split)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(split, np.asarray(x)),
            batch,
        )

    def place_state(state: PyTree) -> PyTree:
        return replicate(state, replicated)

    return ParallelStep(
        compiled, mesh.size, place=place, split=place, place_state=place_state
    )


def replicate(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Returns the tree with every leaf on all devices of a replicated sharding."""

    def put(leaf: Any) -> Any:
        if _is_placed(leaf, sharding):
            return leaf
        if jax.process_count() == 1:
            return jax.device_put(leaf, sharding)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(put, tree)


def _over_pmap(
    step: Callable[[PyTree, Batch], Any],
    axis_name: str | None,
    donated: tuple[int, ...],
) -> ParallelStep:
    if axis_name is None:
        raise ValueError(
            "parallelize(step, 'pmap') needs a step made with axis_name=..., or "
            "every device would train a replica of its own."
        )
    if jax.process_count() > 1:
        raise ValueError("'pmap' runs in one process; give parallelize a mesh.")
    devices = jax.local_device_count()
    compiled = jax.pmap(
        step,
        axis_name=axis_name,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=donated,
    )

    def split(batch: Batch) -> Batch:
        _require_divisible(batch, devices)
        return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)

    # Split on the call, not in `place`: a placed batch would have another shape.
    return ParallelStep(compiled, devices, split=split)


def _is_placed(leaf: Any, sharding: NamedSharding) -> bool:
    return isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(
        sharding, leaf.ndim
    )


def _require_divisible(batch: Batch, devices: int) -> None:
    size = jax.tree.leaves(batch)[0].shape[0]
    if size % devices:
        raise ValueError(f"A batch of {size} cannot be split over {devices} devices.")
