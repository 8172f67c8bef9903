"""Reduces the learning rate when a validation metric no longer gets better."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcnn.optim import PlateauProgress, PlateauRule, set_rate_factor
from jaxcnn.train.hooks.base import Hook
from jaxcnn.tree import nearest

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class ReduceOnPlateau(Hook):
    """Reduces the rate after evaluations that were not better, as PyTorch does.

    The optimizer is made with `rate_factor=True`: its state holds what the rate is
    multiplied by, so that a checkpoint keeps it and no step is compiled anew. Place
    this hook before `TrainLog` and `SaveCheckpoints`.

    Args:
        rule: The metric, and when and by how much.
        learning_rate: The rate that the rule's `min_lr` and `eps` are compared with:
            the highest of the schedule.
        schedule: The learning rate of every step before any reduction, for `rate`;
            `learning_rate` by default.
        split: The split whose records count.

    Raises:
        ValueError: while training, if the records lack the metric or the optimizer's
            state has no factor.
    """

    def __init__(
        self,
        rule: PlateauRule,
        learning_rate: float,
        *,
        schedule: Callable[[int], Any] | None = None,
        split: str = "validation",
    ) -> None:
        self.rule = rule
        self.learning_rate = learning_rate
        self.schedule = schedule or (lambda step: learning_rate)
        self.split = split
        self.progress = PlateauProgress(learning_rate)
        # The factor of the steps before the newest evaluation, and where that was.
        self._before, self._since = 1.0, 0

    @property
    def factor(self) -> float:
        """What the rate of the next step is multiplied by."""
        return self.progress.rate / self.learning_rate

    def rate(self, step: int) -> float:
        """Returns the rate of update `step`, of those since the evaluation before."""
        factor = self.factor if step >= self._since else self._before
        return float(np.float32(self.schedule(step)) * np.float32(factor))

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Takes an evaluation into account."""
        if record["split"] != self.split:
            return
        if self.rule.metric not in record:
            raise ValueError(
                f"Reduce on plateau watches {self.rule.metric!r}, which the "
                f"{self.split} records lack: {sorted(record)}."
                f"{nearest(self.rule.metric, record)}"
            )
        self._before, self._since = self.factor, loop.step
        self.progress = self.rule.after(self.progress, record[self.rule.metric])
        if self.factor != self._before:
            opt_state = set_rate_factor(loop.state.opt_state, self.factor)
            loop.state = loop.state.replace(opt_state=opt_state)

    def state_dict(self) -> dict[str, Any]:
        """Returns the progress and the factor before the newest evaluation."""
        before = {"before": self._before, "since": self._since}
        return {**self.progress._asdict(), **before}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        values = dict(values)
        self._before, self._since = values.pop("before"), values.pop("since")
        self.progress = PlateauProgress(**values)
