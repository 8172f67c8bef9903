"""Gradient accumulation: a large batch as the sum of microbatches, one after another.

The batch is cut inside the compiled step. It is `[batch, ...]` with the leading axis
perhaps split over devices; seen as `[batch / n, n, ...]` it stays split as it was, and
column i is microbatch i: every device works on n parts of its own share, and nothing
moves between devices.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.typing import Array, PyTree

#: `gradient(params, model_state, batch, key) -> (grads, (model_state, metrics))`.
Gradient = Callable[
    [PyTree, PyTree, PyTree, Array], tuple[PyTree, tuple[PyTree, PyTree]]
]


def accumulated(
    gradient: Gradient,
    microbatches: int,
    *,
    axis_name: str | None = None,
    unroll: bool | None = None,
) -> Gradient:
    """Returns a function like `gradient` that goes through the batch in microbatches.

    Gradients and metrics are summed, so `gradient` has to give shares that add up:
    divide by the count of the whole batch. The model's collections pass from each
    microbatch to the next. Microbatch i has the rows whose number in the (device's)
    batch is i modulo `microbatches`, and the key `fold_in(key, i)`.

    In a loop, activations are kept of one microbatch at a time. With one microbatch the
    function is `gradient` itself.

    Args:
        gradient: Of one microbatch: pure, collections in and out of one kind.
        microbatches: How many, 1 or more.
        axis_name: The mapped axis under `pmap` or `shard_map`.
        unroll: Whether the microbatches are written out one after another or are the
            turns of a loop. By default they are written out on CPU, where a convolution
            in a loop is slow (and no memory is saved), and a loop on accelerators.

    Raises:
        ValueError: while tracing, if the batch does not divide evenly.
    """
    if microbatches == 1:
        return gradient

    def total(
        params: PyTree, model_state: PyTree, batch: PyTree, key: Array
    ) -> tuple[PyTree, tuple[PyTree, PyTree]]:
        parts = _columns(batch, microbatches, axis_name)

        def turn(carry: Any, index: Array) -> tuple[Any, PyTree]:
            grads, model_state = carry
            part = jax.tree.map(lambda x: _column(x, index), parts)
            more, (model_state, metrics) = gradient(
                params, model_state, part, jax.random.fold_in(key, index)
            )
            grads = jax.tree.map(jnp.add, grads, more)
            return (grads, _varying(model_state, axis_name)), metrics

        def run(carry: Any, *, unroll: bool) -> tuple[Any, PyTree]:
            indices = jnp.arange(microbatches, dtype=jnp.int32)
            return lax.scan(turn, carry, indices, unroll=unroll)

        zeros = jax.tree.map(jnp.zeros_like, params)
        start = (zeros, _varying(model_state, axis_name))
        if unroll is None:
            # By the devices that the step is compiled for, which `jax.default_backend`
            # does not know: a mesh of CPUs may be used beside an accelerator.
            (grads, model_state), metrics = lax.platform_dependent(
                start,
                cpu=functools.partial(run, unroll=True),
                default=functools.partial(run, unroll=False),
            )
        else:
            (grads, model_state), metrics = run(start, unroll=unroll)
        return grads, (model_state, jax.tree.map(lambda x: x.sum(axis=0), metrics))

    return total


def _columns(batch: PyTree, microbatches: int, axis_name: str | None) -> PyTree:
    """Returns the arrays as `[batch / microbatches, microbatches, ...]`."""
    size = max(x.shape[0] for x in jax.tree.leaves(batch) if x.ndim)

    def split(x: Array) -> Array:
        if not x.ndim:  # one number for the whole batch, such as a mixing weight
            return x
        if x.shape[0] != size:
            raise ValueError(
                "accumulate needs arrays with one row for each example: the batch has "
                f"{size}, and one of its arrays is {list(x.shape)}."
            )
        return x.reshape(size // microbatches, microbatches, *x.shape[1:])

    if size % microbatches:
        where = "" if axis_name is None else " on each device"
        raise ValueError(
            f"A batch of {size}{where} cannot be split into {microbatches} "
            "microbatches evenly."
        )
    return jax.tree.map(split, batch)


def _column(x: Array, index: Array) -> Array:
    return lax.dynamic_index_in_dim(x, index, axis=1, keepdims=False) if x.ndim else x


def _varying(tree: PyTree, axis_name: str | None) -> PyTree:
    """Returns the tree typed as differing between devices, as a loop's state must stay.

    Running statistics enter a step alike on all devices of `shard_map` and may leave a
    microbatch differing. `lax.pcast` refuses what differs already; a choice between
    equals does not.
    """
    if axis_name is None:
        return tree
    true = lax.pcast(jnp.array(True), axis_name, to="varying")
    return jax.tree.map(lambda x: jnp.where(true, x, x), tree)
