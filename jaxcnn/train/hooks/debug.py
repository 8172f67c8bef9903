"""Says of a step that is not finite which layer went wrong first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
from flax import linen as nn

from jaxcnn.train.debug_nans import find_nonfinite
from jaxcnn.train.hooks.base import Hook
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Task
from jaxcnn.typing import Array, Batch, PyTree

if TYPE_CHECKING:
    from jaxcnn.train.fit import TrainingData
    from jaxcnn.train.loop import Loop


class DebugNans(Hook):
    """Finds, where a step is not finite, the layer in which that began.

    What it finds stands in the record and in the error, see `find_nonfinite`. It waits
    for every step, and keeps the state before it: the step must not be given the
    state's memory, as in `parallelize(step, donate=False)`. Place it first.

    With several processes, each looks at its own share of the batch.

    Args:
        model: The module of the step, made without `axis_name`.
        task: The task of the step.
        data: The data that `fit` gets.
        preprocess: As for `make_train_step`.
        augment: As for `make_train_step`.
        penalty: As for `make_train_step`.

    Raises:
        ValueError: while training, if the state before a step is gone.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        data: TrainingData,
        *,
        preprocess: Callable[[Array], Array] | None = None,
        augment: Callable[[Array, Batch], Batch] | None = None,
        penalty: Callable[[PyTree], Array] | None = None,
    ) -> None:
        self.model, self.task, self.data = model, task, data
        self.options: dict[str, Any] = {
            "preprocess": preprocess,
            "augment": augment,
            "penalty": penalty,
        }
        self._before: TrainState | None = None

    def on_start(self, loop: Loop) -> None:
        """Has the loop ask it for causes."""
        self._before = loop.state
        loop.explain = self._explain

    def on_step(self, loop: Loop) -> None:
        """Waits for the step, and looks for a cause if it is not finite."""
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(self._before)):
            raise ValueError(
                "DebugNans needs the state before every step, which the step was given "
                "the memory of: use parallelize(step, donate=False)."
            )
        loop.read()
        self._before = loop.state

    def _explain(self, step: int) -> str:
        state, batch = self._before, self.data[step - 1]
        try:
            found = find_nonfinite(
                self.model,
                state.variables,
                batch,
                self.task,
                key=jax.random.fold_in(state.rng, state.step),
                **self.options,
            )
        # What the loop is about to say of the step must not be lost.
        except Exception as error:
            return f"The search for the cause failed: {error!r}."
        if found is None:
            return (
                "Run again, the loss and the gradient are finite: it is the update "
                "that is not, by the rate or the optimizer's state, or something "
                "that is not the same every time."
            )
        return str(found)
