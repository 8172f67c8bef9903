"""Compiles a step for one device, for a mesh of devices or for pmap."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcnn.train.sharded_step import ShardedStep
from jaxcnn.train.sharding import Shard, as_shard
from jaxcnn.tree import nearest
from jaxcnn.typing import Batch, PyTree


class ParallelStep:
    """A compiled step: called with ordinary state and the global batch.

    Attributes:
        place: `place(batch)` starts the transfer of a batch to where the step wants it
            and returns it; the step takes placed batches and others alike.
        compiled: The jitted (or pmapped) function inside.
        devices: Number of devices that share a batch.
        donated: Whether a state that it is called with cannot be used again.
        place_state: `place_state(state)` returns a state where the step wants it.
        place_whole: `place_whole(tree)` puts arrays whole on each device of the step;
            None for pmap.
        shardings: For a step with sharded state: `shardings(state)` gives the sharding
            of every leaf of a state or of its shapes. Else None.
    """

    def __init__(
        self,
        compiled: Callable[[PyTree, Batch], Any],
        devices: int,
        *,
        place: Callable[[Batch], Batch] = lambda batch: batch,
        split: Callable[[Batch], Batch] = lambda batch: batch,
        place_state: Callable[[PyTree], PyTree] = lambda state: state,
        place_whole: Callable[[PyTree], PyTree] | None = None,
        shardings: Callable[[PyTree], PyTree] | None = None,
        donated: bool = False,
    ) -> None:
        self.compiled = compiled
        self.devices = devices
        self.place = place
        self.shardings = shardings
        self.donated = donated
        self.place_state = place_state
        self.place_whole = place_whole
        self._split = split

    def __call__(self, state: PyTree, batch: Batch) -> Any:
        """Returns what the step returns."""
        return self.compiled(*self.arguments(state, batch))

    def arguments(self, state: PyTree, batch: Batch) -> tuple[PyTree, Batch]:
        """Returns what `compiled` is called with: both where it wants them."""
        return self.place_state(state), self._split(batch)


def parallelize(
    step: Callable[[PyTree, Batch], Any],
    how: str | Mesh = "jit",
    *,
    axis_name: str | None = None,
    donate: bool | None = None,
    shard: Shard | int | Sequence[tuple[str, int | None]] | None = None,
) -> ParallelStep:
    """Returns the step compiled, for ordinary state and the global batch.

    `"jit"` runs on one device. A `jax.sharding.Mesh` splits the batch over all its axes
    and replicates the state: the same numbers as on one device, batch statistics of the
    global batch included. With `shard`, parameters and all that follows them are split
    over one axis of the mesh instead: the same numbers, in less memory on each device.
    `"pmap"` maps the step over all local devices.

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
        shard: For a mesh: what to split. A `Shard`; or only its `min_size` or `rules`.

    Raises:
        ValueError: for another `how`; for `"pmap"` if the step has no `axis_name`; for
            `shard` without a mesh; when called, if the batch cannot be split evenly
            over the devices, or the rules of `shard` do not fit the parameters.
    """
    if donate is None:
        donate = getattr(step, "donates", False)
    donated = (0,) if donate else ()
    if isinstance(how, Mesh):
        if shard is not None:
            return _over_sharded_mesh(step, how, donated, as_shard(shard))
        return _over_mesh(step, how, donated)
    if shard is not None:
        raise ValueError(f"shard needs a jax.sharding.Mesh, got {how!r}.")
    if how == "jit":
        compiled = jax.jit(step, donate_argnums=donated)
        return ParallelStep(
            compiled,
            1,
            place=jax.device_put,
            place_whole=jax.device_put,
            donated=donate,
        )
    if how == "pmap":
        return _over_pmap(step, axis_name or getattr(step, "axis_name", None), donated)
    raise ValueError(
        f"parallelize knows 'jit', 'pmap' and a jax.sharding.Mesh, got {how!r}."
        f"{nearest(str(how), ['jit', 'pmap'])}"
    )


def _over_mesh(
    step: Callable[[PyTree, Batch], Any], mesh: Mesh, donated: tuple[int, ...]
) -> ParallelStep:
    replicated = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    compiled = jax.jit(
        step,
        in_shardings=(replicated, split),
        out_shardings=replicated,
        donate_argnums=donated,
    )

    place = _batch_placer(split, getattr(step, "accumulate", 1))

    def place_state(state: PyTree) -> PyTree:
        return replicate(state, replicated)

    return ParallelStep(
        compiled,
        mesh.size,
        place=place,
        split=place,
        place_state=place_state,
        place_whole=place_state,
        donated=bool(donated),
    )


def _over_sharded_mesh(
    step: Callable[[PyTree, Batch], Any],
    mesh: Mesh,
    donated: tuple[int, ...],
    shard: Shard,
) -> ParallelStep:
    compiled = ShardedStep(step, mesh, shard, donated)
    whole = NamedSharding(mesh, PartitionSpec())
    place = _batch_placer(compiled.split, getattr(step, "accumulate", 1))

    def place_state(state: PyTree) -> PyTree:
        return jax.tree.map(put, state, compiled.shardings(state))

    return ParallelStep(
        compiled,
        mesh.size,
        place=place,
        split=place,
        place_state=place_state,
        place_whole=lambda tree: replicate(tree, whole),
        shardings=compiled.shardings,
        donated=bool(donated),
    )


def _batch_placer(split: NamedSharding, microbatches: int) -> Callable[[Batch], Batch]:
    """Returns the function that spreads a batch over the devices of a mesh."""
    devices = split.mesh.devices.flat
    local = sum(d.process_index == jax.process_index() for d in devices)

    def place(batch: Batch) -> Batch:
        if all(_is_placed(x, split) for x in jax.tree.leaves(batch)):
            return batch
        _require_divisible(batch, local, microbatches)
        if jax.process_count() == 1:
            return jax.device_put(batch, split)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(split, np.asarray(x)),
            batch,
        )

    return place


def replicate(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Returns the tree with every leaf on all devices of a replicated sharding."""
    return jax.tree.map(lambda leaf: put(leaf, sharding), tree)


def put(leaf: Any, sharding: NamedSharding) -> Any:
    """Returns an array placed as a sharding says, also over several processes.

    Of an array that no mesh holds yet, every process gives the whole.
    """
    if _is_placed(leaf, sharding):
        return leaf
    spread = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
    if jax.process_count() == 1 or spread:
        return jax.device_put(leaf, sharding)
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )


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
    return ParallelStep(compiled, devices, split=split, donated=bool(donated))


def _is_placed(leaf: Any, sharding: NamedSharding) -> bool:
    return isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(
        sharding, leaf.ndim
    )


def _require_divisible(batch: Batch, devices: int, microbatches: int = 1) -> None:
    size = jax.tree.leaves(batch)[0].shape[0]
    if size % (devices * microbatches):
        each = f" in {microbatches} microbatches each" if microbatches > 1 else ""
        raise ValueError(
            f"A batch of {size} cannot be split over {devices} devices{each}."
        )
