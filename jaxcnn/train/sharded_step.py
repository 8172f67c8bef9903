"""A step on sharded state: weights are gathered to compute, and split between steps."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcnn.train.sharding import Shard, state_shardings
from jaxcnn.typing import Batch, PyTree


class ShardedStep:
    """A step compiled for sharded state, once its first state shows the leaves.

    Attributes:
        split: The sharding of a batch: over all axes of the mesh.
    """

    def __init__(
        self,
        step: Callable[[PyTree, Batch], Any],
        mesh: Mesh,
        shard: Shard,
        donated: tuple[int, ...],
    ) -> None:
        self.split = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._step, self._donated = step, donated
        self._mesh, self._shard = mesh, shard
        self._known: dict[Any, tuple[PyTree, Callable[..., Any]]] = {}

    def __call__(self, state: PyTree, batch: Batch) -> Any:
        """Returns what the step returns; the state in it keeps its shardings."""
        return self._of(state)[1](state, batch)

    def lower(self, state: PyTree, batch: Batch) -> Any:
        """Returns `jax.jit(step).lower(...)`, for arrays or for their shapes."""
        return self._of(state)[1].lower(state, batch)

    def shardings(self, state: PyTree) -> PyTree:
        """Returns the sharding of every leaf of a state, or of its shapes."""
        return self._of(state)[0]

    def _of(self, state: PyTree) -> tuple[PyTree, Callable[..., Any]]:
        leaves, structure = jax.tree.flatten(state)
        kind = structure, tuple(leaf.shape for leaf in leaves)
        if kind not in self._known:
            shardings = state_shardings(state, self._mesh, self._shard)
            self._known[kind] = shardings, self._compiled(structure, shardings)
        return self._known[kind]

    def _compiled(self, structure: Any, shardings: PyTree) -> Callable[..., Any]:
        replicated = self._replicated

        def pinned(output: Any) -> Any:
            """Keeps a new state sharded like the old, and all else whole."""
            if jax.tree.structure(output) == structure:
                return lax.with_sharding_constraint(output, shardings)
            if type(output) is tuple:
                return tuple(pinned(part) for part in output)
            return lax.with_sharding_constraint(output, replicated)

        @functools.wraps(self._step)
        def step(state: PyTree, batch: Batch) -> Any:
            # Weights are gathered, each once. Left to itself the compiler would rather
            # split channels in places, and gather activations.
            params = lax.with_sharding_constraint(state.params, replicated)
            return pinned(self._step(state.replace(params=params), batch))

        return jax.jit(
            step, in_shardings=(shardings, self.split), donate_argnums=self._donated
        )
