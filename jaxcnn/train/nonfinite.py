"""Steps whose loss or state is not finite: left out, counted and told."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.metrics import Mean
from jaxcnn.train.finite import all_finite
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Array, Batch

#: The split of the records that tell of such steps, and the metric that counts them.
NONFINITE = "nonfinite"

_Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


class NonFiniteError(FloatingPointError):
    """The loss or the state of a run is infinite or not a number.

    Attributes:
        step: The first update after which it was so; its batch is `data[step - 1]`.
        rolls_back: Whether the run may go back to a checkpoint and on without it.
    """

    def __init__(self, step: int, remark: str = "", rolls_back: bool = False) -> None:
        super().__init__(
            f"The loss or the parameters are not finite after step {step} (batch "
            f"{step - 1}).{remark and ' '}{remark} Nothing was saved since the last "
            "finite state. A lower learning rate, warm-up or gradient clipping may "
            "help."
        )
        self.step = step
        self.rolls_back = rolls_back


class Watch:
    """What a run has seen of steps that are not finite, and what is to be done.

    Attributes:
        left_out: Numbers of the batches that a rollback has left out.
        in_a_row: Newest steps that were skipped one after the other.

    Args:
        max_skips: Skips in a row that end the run.
        rollbacks: How many batches rollbacks may leave out, over all starts.
        left_out: Those of the start before.
    """

    def __init__(
        self, max_skips: int, rollbacks: int, left_out: Iterable[int] = ()
    ) -> None:
        if max_skips < 1:
            raise ValueError(f"max_skips must be 1 or more, got {max_skips}.")
        if rollbacks < 0:
            raise ValueError(f"rollbacks must be 0 or more, got {rollbacks}.")
        self.max_skips = max_skips
        self.rollbacks = rollbacks
        self.left_out = set(left_out)
        self.in_a_row = 0

    def look(self, step: int, metrics: Metrics) -> str | None:
        """Returns what the metrics of a step, on the host, call for.

        None for a finite step; `"left_out"`, `"skip"` where it changed nothing;
        `"rollback"`, `"stop"` where the run cannot go on from it. The metric `"finite"`
        is taken out.
        """
        finite = metrics.pop("finite", None)
        if step - 1 in self.left_out:
            return "left_out"
        skipped = NONFINITE in metrics and float(metrics[NONFINITE].total) > 0
        self.in_a_row = self.in_a_row + 1 if skipped else 0
        if skipped:
            return "skip" if self.in_a_row < self.max_skips else "stop"
        if "loss" in metrics and not math.isfinite(metrics["loss"].total):
            return self._end()
        if finite is not None and finite.total < finite.count:
            return self._end()
        return None

    @property
    def remark(self) -> str:
        """What to say of the end of the run beside its step."""
        if self.in_a_row >= self.max_skips:
            return f"It is the last of {self.in_a_row} left out in a row."
        if self.left_out:
            return f"Batches that rollbacks left out before: {len(self.left_out)}."
        return ""

    def _end(self) -> str:
        return "rollback" if len(self.left_out) < self.rollbacks else "stop"

    def saved_values(self) -> dict[str, Any]:
        """Returns what a resumed run needs, JSON-able; nothing if nothing was seen."""
        if not (self.left_out or self.in_a_row):
            return {}
        values = {"left_out": sorted(self.left_out), "in_a_row": self.in_a_row}
        return {NONFINITE: values}

    def load_values(self, values: dict[str, Any]) -> None:
        """Takes up what `saved_values` returned."""
        seen = values.get(NONFINITE, {})
        self.left_out |= set(seen.get("left_out", ()))
        self.in_a_row = seen.get("in_a_row", 0)


def skip_nonfinite(step: _Step) -> _Step:
    """Returns the train step, which then leaves out updates that are not finite.

    Where the loss or the new state is not finite, the whole old state is kept but for
    its step number: parameters, statistics, the optimizer's state, averages. The
    metrics of such a step count nothing, and the metric `"nonfinite"`, the share of
    such steps, counts 1. `fit` records each of them and ends the run after several in a
    row.

    The result is not compiled, as `step` is not. It holds the old state until the new
    one is known to be finite, so a donated state saves less memory. Put it around all
    else: `skip_nonfinite(with_ema(step))`.

    Args:
        step: From `make_train_step`, whose metric `"finite"` decides. For a step of
            your own without it, the loss, the new parameters and collections do.
    """

    @functools.wraps(step)  # keeps the attributes of the step too
    def skipping_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        new, metrics = step(state, batch)
        finite = _is_finite(new, metrics)
        kept = jax.tree.map(
            lambda new, old: new if new is old else jnp.where(finite, new, old),
            new,
            state.replace(step=new.step),
        )
        metrics = {
            name: jax.tree.map(lambda x: jnp.where(finite, x, 0), mean)
            for name, mean in metrics.items()
            if name != "finite"  # the state that is kept is
        }
        skipped = jnp.reshape(1 - finite.astype(jnp.float32), (1,))
        return kept, {**metrics, NONFINITE: Mean.of(skipped)}

    return skipping_step


def leave_out(state: TrainState) -> tuple[TrainState, Metrics]:
    """Returns the state one step on with nothing else changed, and no metrics."""
    return state.replace(step=state.step + 1), {}


def describe_event(record: dict[str, Any]) -> str:
    """Returns a record of the split `"nonfinite"` in words."""
    seed = "" if record["seed"] is None else f" of seed {record['seed']}"
    ends = {
        "skip": "left out",
        "left_out": "left out, after the rollback",
        "rollback": "going back to the last checkpoint, to leave it out",
        "stop": "the end",
    }
    cause = f". {record['cause']}" if "cause" in record else ""
    return f"not finite: batch {record['batch']}{seed}; {ends[record['action']]}{cause}"


def _is_finite(new: TrainState, metrics: Metrics) -> Array:
    finite = jnp.isfinite(metrics["loss"].total) if "loss" in metrics else True
    if "finite" in metrics:
        flag = metrics["finite"]
        return finite & (flag.total >= flag.count)
    return finite & all_finite((new.params, new.model_state))
