"""The training loop: steps, records, and hooks around them."""

import collections
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax

from jaxcnn.checkpoint import processes
from jaxcnn.data.prefetch import prefetch
from jaxcnn.train.hooks import Hook, make_hook
from jaxcnn.train.interruption import owing
from jaxcnn.train.parallel import ParallelStep, parallelize
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics, require_means
from jaxcnn.typing import Batch, PyTree

#: Steps after which several processes ask each other whether to stop, which waits.
_AGREE_EVERY = 16
#: Steps whose metrics may lie unread before the loop reads the older half itself.
_UNREAD_LIMIT = 512


class TrainingData(Protocol):
    """What `fit` asks of its data: batch k by number, the same every time."""

    steps_per_epoch: int

    def __getitem__(self, k: int) -> Batch: ...


class NonFiniteError(FloatingPointError):
    """The loss or the state of a run is infinite or not a number.

    Attributes:
        step: The first update after which it was so; its batch is `data[step - 1]`.
    """

    def __init__(self, step: int) -> None:
        super().__init__(
            f"The loss or the parameters are not finite after step {step} (batch "
            f"{step - 1}). Nothing was saved since the last finite state. A lower "
            "learning rate, warm-up or gradient clipping may help."
        )
        self.step = step


class Loop:
    """A run in progress, as hooks see it.

    Attributes:
        state: The newest state. On the device; reading it waits for the step.
        step: Number of updates dispatched.
        num_steps: The update at which the run ends.
        steps_per_epoch: Steps of one pass over the training data.
        batch_size: Examples in the newest global batch.
        devices: Number of devices that share it.
        latest: The training metrics last read, averaged over what was read then.
        stop_reason: Why the run ends early, or None.
        complete: Whether the run has reached an end of its own: all steps, or early
            stopping; not a signal or a time limit, after which it may go on later.
        started: `time.monotonic()` at the first step of this start.
        first_step: The step at which this start began.
        interrupted: The signal after which the run must end soon, or None: long hooks
            leave off (see `jaxcnn.train.interruption`).
        owed: The hook that left off at this step, or None.
    """

    def __init__(
        self,
        state: TrainState,
        num_steps: int,
        steps_per_epoch: int,
        hooks: Sequence[Hook] = (),
        devices: int = 1,
    ) -> None:
        self.state = state
        self.step = self.first_step = int(state.step)
        self.num_steps = num_steps
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = 0
        self.devices = devices
        self.latest: dict[str, float] = {}
        self.stop_reason: str | None = None
        self.complete = self.step >= num_steps
        self.started = time.monotonic()
        self.interrupted: str | None = None
        self.owed: Hook | None = None
        self._hooks = tuple(hooks)
        self._asked: str | None = None
        self._unread: collections.deque[tuple[int, Metrics]] = collections.deque()
        self._window: dict[str, list[float]] = {}

    @property
    def epoch(self) -> float:
        """Passes over the training data so far, a fraction."""
        return self.step / self.steps_per_epoch

    def stop(self, reason: str, *, complete: bool = False) -> None:
        """Ends the run after this step; the first reason given is kept.

        An end of the run's own (`complete`) comes before a signal or a time limit at
        the same step, which may therefore come too late: after the last step they
        change nothing. Else that step's last records would be made by no start.

        Several processes end at the same step: where one was asked to stop, all do at
        the next multiple of 16 steps. An end of the run's own must come to all alike.
        """
        if self.complete and not complete:
            return
        if jax.process_count() > 1 and not complete:
            self._asked = self._asked or reason
        elif self.stop_reason is None or complete > self.complete:
            self.stop_reason = reason
            self.complete = complete

    def read(self, lag: int = 0) -> None:
        """Reads the metrics of the steps so far from the device, and waits for them.

        Args:
            lag: Number of newest steps to leave unread, so that nothing waits.

        Raises:
            NonFiniteError: at the first step whose loss or state is not finite.
        """
        count = max(len(self._unread) - lag, 0)
        if not count:
            return
        taken = [self._unread.popleft() for _ in range(count)]
        sums: dict[str, list[float]] = {}
        for (step, _), metrics in zip(
            taken, jax.device_get([metrics for _, metrics in taken]), strict=True
        ):
            _require_finite(step, metrics)
            for name, mean in metrics.items():
                for target in (self._window, sums):
                    total = target.setdefault(name, [0.0, 0.0])
                    total[0] += float(mean.total)
                    total[1] += float(mean.count)
        self.latest = _averages(sums)

    def take_window(self) -> dict[str, float]:
        """Returns the training metrics since the last call, averaged over examples."""
        self.read()
        window, self._window = self._window, {}
        return _averages(window)

    def record(self, split: str, values: dict[str, float]) -> None:
        """Gives every hook one record: `step`, `epoch`, `split` and the values."""
        record = {"step": self.step, "epoch": self.epoch, "split": split, **values}
        for hook in self._hooks:
            hook.on_record(self, record)

    def saved_values(self) -> dict[str, Any]:
        """Returns what a resumed run needs beside the state: JSON-able, exact."""
        self.read()
        return {
            "window": self._window,
            "hooks": {
                name: values
                for name, hook in self.named_hooks()
                if (values := hook.state_dict())
            },
        }

    def load_values(self, values: dict[str, Any]) -> None:
        """Takes up what `saved_values` returned."""
        self._window = {k: list(v) for k, v in values.get("window", {}).items()}
        for name, hook in self.named_hooks():
            if name in values.get("hooks", {}):
                hook.load_state_dict(values["hooks"][name])

    @owing
    def advance(self, state: TrainState, metrics: Metrics, batch_size: int) -> None:
        """Takes the result of a step, still on its way on the device."""
        if not self.batch_size:
            require_means(metrics)
        self.state = state
        self.step += 1
        self.batch_size = batch_size
        self.complete = self.step >= self.num_steps
        self._unread.append((self.step, metrics))
        if len(self._unread) > _UNREAD_LIMIT:
            self.read(lag=_UNREAD_LIMIT // 2)
        for hook in self._hooks:
            hook.on_step(self)
        if jax.process_count() > 1 and self.step % _AGREE_EVERY == 0:
            self._agree()

    @owing
    def finish_step(self) -> None:
        """Calls the hooks that a former start, interrupted, still owes this step."""
        if self.owed is None:
            return
        first, self.owed = self._hooks.index(self.owed), None
        for hook in self._hooks[first:]:
            hook.on_step(self)

    def _agree(self) -> None:
        """Ends the run if one of several processes was asked to."""
        if processes.any_process(self._asked is not None) and not self.complete:
            self.stop_reason = self._asked or "another process was asked to stop"

    def named_hooks(self) -> Iterable[tuple[str, Hook]]:
        """Yields every hook with the name under which its values are saved."""
        seen: collections.Counter[str] = collections.Counter()
        for hook in self._hooks:
            name = type(hook).__name__
            seen[name] += 1
            yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), hook


def fit(
    state: TrainState,
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]],
    data: TrainingData,
    *,
    num_steps: int,
    hooks: Sequence[Hook | str] = (),
) -> TrainState:
    """Trains until `num_steps` updates have been made in all and returns the state.

    Update k uses `data[k]`, so a restored state goes on where it stopped. The next
    batches are made and sent to the device while a step runs, and nothing waits for the
    device except where a hook reads a value.

    Args:
        state: From `init_state`, or restored. A step that donates makes it unusable.
        step: From `parallelize`, or any function of that kind, called as it is; what
            `make_train_step` returned is compiled by `jax.jit` first.
        data: Answers `data[k]` and `data.steps_per_epoch`.
        num_steps: Updates in all, those already in `state.step` included.
        hooks: What happens around the steps, in this order: `Hook`s, or names of those
            that need no argument: `"progress"`, `"train_log"`, `"stop_on_signal"`.

    Raises:
        NonFiniteError: if the loss or the state is not finite; raised when a hook reads
            a value, and at the end at the latest.
        ValueError: if `num_steps` is negative or a hook is unknown.
    """
    if num_steps < 0:
        raise ValueError(f"num_steps must be 0 or more, got {num_steps}.")
    if not hasattr(data, "steps_per_epoch"):
        raise ValueError(
            "data must answer data[k] and data.steps_per_epoch, as TrainData does; "
            f"got {type(data).__name__}."
        )
    hooks = [make_hook(hook) for hook in hooks]
    if hasattr(step, "donates"):
        step = parallelize(step, "jit")
    devices = step.devices if isinstance(step, ParallelStep) else 1
    loop = Loop(state, num_steps, data.steps_per_epoch, hooks, devices)
    place = getattr(step, "place", None)
    with contextlib.ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.close)
        for hook in hooks:
            hook.on_start(loop)
        if loop.stop_reason is None:
            _run(loop, step, data, place)
        loop.read()
        for hook in hooks:
            hook.on_end(loop)
    return loop.state


def _run(loop: Loop, step: Callable[..., Any], data: TrainingData, place: Any) -> None:
    loop.finish_step()
    if loop.stop_reason is not None:
        return
    batches = prefetch(
        data,
        loop.step,
        loop.num_steps,
        place=place,
        stop_early=lambda: loop.interrupted is not None and jax.process_count() == 1,
    )
    with contextlib.closing(batches):
        for _, batch in batches:
            state, metrics = step(loop.state, batch)
            loop.advance(state, metrics, jax.tree.leaves(batch)[0].shape[0])
            if loop.stop_reason is not None:
                break
    if loop.stop_reason is None and loop.step < loop.num_steps:
        loop.stop(loop.interrupted or "the data ended")


def _require_finite(step: int, metrics: PyTree) -> None:
    finite = metrics.pop("finite", None)
    losses_finite = math.isfinite(metrics["loss"].total) if "loss" in metrics else True
    if not losses_finite or (finite is not None and finite.total < finite.count):
        raise NonFiniteError(step)


def _averages(sums: dict[str, list[float]]) -> dict[str, float]:
    return {
        name: total / count if count else math.nan
        for name, (total, count) in sums.items()
    }
