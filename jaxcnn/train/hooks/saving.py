"""Saves checkpoints while training, and resumes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train.hooks.base import Hook, require_positive
from jaxcnn.train.interruption import load_owed, owed_values
from jaxcnn.train.state import TrainState

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class SaveCheckpoints(Hook):
    """Saves the state every `every` steps, after evaluations and at the end of a start.

    Before a save the metrics of all steps so far are read: a state that is not finite
    ends the run instead of being kept. The metrics of an evaluation at the same step go
    with it, and what the other hooks need to go on. Place this hook after `TrainLog`
    and `Evaluate`, and before `EarlyStopping`, which puts the best parameters back.

    Args:
        checkpoints: Where to.
        every: Steps between saves.
        split: The split whose records are the checkpoint's metrics.
        info: JSON-able values to save with every checkpoint.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        every: int,
        split: str = "validation",
        info: Mapping[str, Any] | None = None,
    ) -> None:
        require_positive("every", every)
        self.checkpoints = checkpoints
        self.every = every
        self.split = split
        self.info = dict(info or {})
        self._loaded: dict[str, Any] | None = None
        self._metrics: tuple[int, dict[str, float]] | None = None
        self._saved_step: int | None = None
        self._saved_half = False

    def resume(
        self,
        state: TrainState | Callable[[], TrainState],
        target: Callable[[], TrainState] | None = None,
    ) -> TrainState:
        """Returns the newest good state, or `state` if nothing was saved yet.

        Args:
            state: From `init_state`: the tree, shapes and dtypes to restore to. Or a
                function that returns it, called only if nothing was saved.
            target: Returns what to restore to instead: shapes with shardings, so that
                no state has to be made, on one device, only to be replaced.

        Raises:
            ValueError: if what was saved is another tree, or all of it is damaged.
        """
        if not (self.checkpoints.steps or self.checkpoints.damaged):
            return state() if callable(state) else state
        if target is not None:
            state = target()
        elif callable(state):
            state = state()
        restored = self.checkpoints.restore(state, step="latest")
        self._loaded = dict(restored.info or {})
        self._saved_step = restored.step
        return restored.state

    def save_start(self, loop: Loop) -> None:
        """Saves the state if nothing was saved yet, to have one to go back to."""
        if self._saved_step is None:
            self._save(loop)

    def on_start(self, loop: Loop) -> None:
        """Gives the loop and its hooks what was saved for them."""
        if self._loaded is not None:
            values = self._loaded.get("loop", {})
            loop.load_values(values)
            load_owed(loop, values)
            self._saved_half = loop.owed is not None

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Keeps the metrics of the newest evaluation for the save."""
        if record["split"] == self.split:
            numbers = {k: v for k, v in record.items() if isinstance(v, float)}
            numbers.pop("epoch", None)
            self._metrics = (loop.step, numbers)

    def on_step(self, loop: Loop) -> None:
        """Saves where it is due."""
        if loop.due(self.every) or self._evaluated(loop):
            self._save(loop)

    def on_end(self, loop: Loop) -> None:
        """Saves where this start ended, and waits until it is written."""
        self._save(loop)
        self.checkpoints.wait()

    def _evaluated(self, loop: Loop) -> bool:
        return self._metrics is not None and self._metrics[0] == loop.step

    def _save(self, loop: Loop) -> None:
        # What was saved of a step half done is replaced once it is done.
        replace = self._saved_half and loop.owed is None
        if self._saved_step == loop.step and not replace:
            return
        values = loop.saved_values() | owed_values(loop)
        self.checkpoints.save(
            loop.step,
            loop.state,
            metrics=self._metrics[1] if self._evaluated(loop) else None,
            info={**self.info, "loop": values},
            replace=replace,
        )
        self._saved_half = loop.owed is not None
        self._saved_step = loop.step
