"""Evaluates while training, and stops when that no longer gets better."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train.ema import replace_weights, weights_of
from jaxcnn.train.evaluate import evaluate
from jaxcnn.train.hooks.base import Hook, require_positive
from jaxcnn.train.interruption import interruptible
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.tree import nearest
from jaxcnn.typing import Batch

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class Evaluate(Hook):
    """Makes a record of an evaluation every `every` steps and at the end of the run.

    A run that must end soon (see `StopOnSignal`) leaves the evaluation to the start
    that goes on with it.

    Args:
        step: The evaluation step, from `parallelize(make_eval_step(...))`.
        batches: The batches of the split, padded under a mask, to be gone through again
            and again.
        every: Steps between evaluations.
        split: Name of the split in the records.
        derive: Makes the record from the means, as in `evaluate`.
    """

    def __init__(
        self,
        step: Callable[[TrainState, Batch], Metrics],
        batches: Iterable[Batch],
        *,
        every: int,
        split: str = "validation",
        derive: Callable[[dict[str, float]], dict[str, float]] | None = None,
    ) -> None:
        require_positive("every", every)
        self.step = step
        self.batches = batches
        self.every = every
        self.split = split
        self.derive = derive

    def on_step(self, loop: Loop) -> None:
        """Evaluates where it is due."""
        if loop.due(self.every) or loop.complete:
            loop.read()  # a state that is not finite is not worth a record
            batches = interruptible(loop, self, self.batches)
            found = evaluate(self.step, loop.state, batches, derive=self.derive)
            loop.record(self.split, found)


class EarlyStopping(Hook):
    """Ends the run when a metric has not got better for `patience` evaluations.

    At the end the parameters and the model's state are those of the best evaluation,
    and so are their averages (`with_ema`).
    With `checkpoints` they are read back from the best one saved there, which survives
    a resume; else a copy is kept in memory.

    Args:
        metric: Name in the records, such as `"loss"` or `"accuracy"`.
        mode: `"min"` or `"max"`: what is better.
        patience: Evaluations without a better value before the run ends.
        min_delta: A value counts as better if it is so by more than this.
        split: The split whose records count.
        restore_best: Whether to end with the best parameters, not the last.
        checkpoints: Where `SaveCheckpoints` keeps the best by the same metric.

    Raises:
        ValueError: for a bad option; while training, if the records lack the metric.
    """

    def __init__(
        self,
        metric: str = "loss",
        *,
        mode: str = "min",
        patience: int = 5,
        min_delta: float = 0.0,
        split: str = "validation",
        restore_best: bool = True,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
        require_positive("patience", patience)
        if min_delta < 0:
            raise ValueError(f"min_delta must be 0 or more, got {min_delta}.")
        self.metric, self.split = metric, split
        self.sign = 1 if mode == "max" else -1
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best = restore_best
        self.checkpoints = checkpoints
        self.best = -math.inf
        self.best_step: int | None = None
        self.waited = 0
        self._copy: dict[str, Any] | None = None

    def on_start(self, loop: Loop) -> None:
        """Ends a run at once that had stopped early before."""
        self._stop_if_due(loop)

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Compares the value with the best one."""
        if record["split"] != self.split:
            return
        if self.metric not in record:
            raise ValueError(
                f"Early stopping watches {self.metric!r}, which the {self.split} "
                f"records lack: {sorted(record)}.{nearest(self.metric, record)}"
            )
        value = self.sign * record[self.metric]
        first = self.best_step is None and not math.isnan(value)
        if first or value > self.best + self.min_delta:
            self.best, self.best_step, self.waited = value, loop.step, 0
            if self.restore_best and self.checkpoints is None:
                self._copy = jax.tree.map(jnp.copy, weights_of(loop.state))
        else:
            self.waited += 1
        self._stop_if_due(loop)

    def on_end(self, loop: Loop) -> None:
        """Puts the best parameters back."""
        if not (self.restore_best and loop.complete):
            return
        if self._copy is not None:
            weights = self._copy
        elif self.checkpoints is not None and self.checkpoints.best_step is not None:
            best = self.checkpoints.restore(loop.state, step="best").state
            weights = weights_of(best)
        else:
            if self.best_step is not None:
                logging.getLogger("jaxcnn").warning(
                    "The best parameters, of step %d, were in the memory of a former "
                    "start; the run ends with the last ones. Give checkpoints.",
                    self.best_step,
                )
            return
        loop.state = replace_weights(loop.state, weights)

    def state_dict(self) -> dict[str, Any]:
        """Returns the best value, where it was, and how long ago."""
        best = self.best if self.best_step is not None else None
        return {"best": best, "best_step": self.best_step, "waited": self.waited}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self.best_step, self.waited = values["best_step"], values["waited"]
        self.best = -math.inf if values["best"] is None else values["best"]

    def _stop_if_due(self, loop: Loop) -> None:
        if self.waited >= self.patience:
            loop.stop(
                f"early stopping: {self.metric} has not got better since step "
                f"{self.best_step}",
                complete=True,
            )
