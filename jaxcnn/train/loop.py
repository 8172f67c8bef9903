"""A run in progress, as its hooks see it: steps made, records, ends."""

import collections
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from jaxcnn.checkpoint import processes
from jaxcnn.train.compilation import compile_ahead
from jaxcnn.train.hooks import Hook
from jaxcnn.train.interruption import owing
from jaxcnn.train.nonfinite import NONFINITE, NonFiniteError, Watch
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics, require_means
from jaxcnn.train.timing import Clock
from jaxcnn.typing import Batch

#: Several processes ask each other whether to stop, which waits for the device, about
#: so often, and after so many steps at the latest.
_AGREE_SECONDS, _AGREE_STEPS = 1.0, 16
#: Steps whose metrics may lie unread before the loop reads the older half itself.
_UNREAD_LIMIT = 512


class Loop:
    """A run in progress, as hooks see it.

    Attributes:
        state: The newest state. On the device; reading it waits for the step.
        step: Number of updates dispatched.
        step_before: What it was before the last call, which may be of several steps.
        num_steps: The update at which the run ends.
        steps_per_epoch: Steps of one pass over the training data.
        batch: The newest batch, as the step was given it.
        batch_size: Examples in the newest global batch.
        clock: Where the time of this start goes.
        devices: Number of devices that share it.
        latest: The training metrics last read, averaged over what was read then.
        stop_reason: Why the run ends early, or None.
        complete: Whether the run has reached an end of its own: all steps, or early
            stopping; not a signal or a time limit, after which it may go on later.
        started: `time.monotonic()` at the first step of this start.
        first_step: The step at which this start began.
        seed: The data's, or None if they have none.
        watch: What was seen of steps that are not finite.
        explain: `explain(step)` says why a step was not finite; None unless a hook
            (`DebugNans`) has set it.
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
        *,
        seed: int | None = None,
        watch: Watch | None = None,
        started: float | None = None,
    ) -> None:
        self.state = state
        self.step = self.first_step = int(state.step)
        self.step_before = max(self.step - 1, 0)
        self.num_steps = num_steps
        self.steps_per_epoch = steps_per_epoch
        self.batch: Batch = {}
        self.batch_size = 0
        self.clock = Clock()
        self.devices = devices
        self.latest: dict[str, float] = {}
        self.stop_reason: str | None = None
        self.complete = self.step >= num_steps
        self.started = time.monotonic() if started is None else started
        self.seed = seed
        self.watch = Watch(10, 0) if watch is None else watch
        self.explain: Callable[[int], str] | None = None
        self.interrupted: str | None = None
        self.owed: Hook | None = None
        self._failure: NonFiniteError | None = None
        self._hooks = tuple(hooks)
        self._asked: str | None = None
        self._agreed = (self.step, self.started)
        self._agree_at = self.step + 1
        # The last step, how many there are, and their metrics, stacked if several.
        self._unread: collections.deque[tuple[int, int, Metrics]] = collections.deque()
        self._window: dict[str, list[float]] = {}

    @property
    def epoch(self) -> float:
        """Passes over the training data so far, a fraction."""
        return self.step / self.steps_per_epoch

    def due(self, every: int) -> bool:
        """Returns whether the last call reached, or passed, a multiple of `every`."""
        return self.step // every > self.step_before // every

    def stop(self, reason: str, *, complete: bool = False) -> None:
        """Ends the run after this step; the first reason given is kept.

        An end of the run's own (`complete`) comes before a signal or a time limit at
        the same step, which may therefore come too late: after the last step they
        change nothing. Else that step's last records would be made by no start.

        Several processes end at the same step: where one was asked to stop, all do
        within 16 steps, or about a second if that is fewer steps. An end of the run's
        own must come to all alike.
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
        if self._failure is not None or not count:
            return self._fail(lag)
        taken = [self._unread.popleft() for _ in range(count)]
        sums: dict[str, list[float]] = {}
        unread = [metrics for _, _, metrics in taken]
        values = self.clock.timed("step", jax.device_get, unread)
        for step, metrics in _each_step(taken, values):
            self._check_finite(step, metrics)
            if self._failure is not None:
                return self._fail(lag)
            for name, mean in metrics.items():
                for target in (self._window, sums):
                    total = target.setdefault(name, [0.0, 0.0])
                    total[0] += float(mean.total)
                    total[1] += float(mean.count)
        self.latest = _averages(sums)

    def _check_finite(self, step: int, metrics: Metrics) -> None:
        """Tells the hooks of a step that was not finite, or was left out."""
        action = self.watch.look(step, metrics)
        if action is None:
            return
        values = {"batch": step - 1, "seed": self.seed, "action": action}
        # One that was left out is as finite as the step before it.
        if self.explain is not None and action != "left_out":
            values["cause"] = self.explain(step)
        epoch = step / self.steps_per_epoch
        record = {"step": step, "epoch": epoch, "split": NONFINITE, **values}
        if action in ("rollback", "stop"):
            remark = " ".join(filter(None, [values.get("cause"), self.watch.remark]))
            self._failure = NonFiniteError(step, remark, action == "rollback")
        for hook in self._hooks:
            hook.on_record(self, record)

    def _fail(self, lag: int) -> None:
        """Raises the error of a step that was not finite, if there was one.

        Several processes do so at the same step: reads that leave some steps out are
        those of the progress, which one process alone shows.
        """
        if self._failure is not None and (not lag or jax.process_count() == 1):
            raise self._failure

    def take_window(self) -> dict[str, float]:
        """Returns the training metrics since the last call, averaged over examples."""
        self.read()
        window, self._window = self._window, {}
        return _averages(window)

    def record(self, split: str, values: dict[str, float]) -> None:
        """Gives every hook one record: `step`, `epoch`, `split` and the values."""
        record = {"step": self.step, "epoch": self.epoch, "split": split, **values}
        for hook in self._hooks:
            self.clock.hook(hook.on_record, self, record)

    def report(self, name: str, values: dict[str, float]) -> None:
        """Tells every hook about this start itself: `"compile"`, `"time"`."""
        for hook in self._hooks:
            self.clock.hook(hook.on_report, self, name, values)

    def compile(self, step: Callable[..., Any], batch: Batch) -> None:
        """Compiles the step for the state and a batch, and reports on it."""
        args = (step, self.state, batch)
        self.state, values = self.clock.timed("compile", compile_ahead, *args)
        if values is not None:
            self.report("compile", values)

    def saved_values(self) -> dict[str, Any]:
        """Returns what a resumed run needs beside the state: JSON-able, exact."""
        self.read()
        return {
            **self.watch.saved_values(),
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
        self.watch.load_values(values)
        for name, hook in self.named_hooks():
            if name in values.get("hooks", {}):
                hook.load_state_dict(values["hooks"][name])

    @owing
    def advance(
        self, state: TrainState, metrics: Metrics, batch_size: int, steps: int = 1
    ) -> None:
        """Takes the result of a call, still on its way on the device.

        Args:
            state: After it.
            metrics: Of the step; of several, stacked: `[steps]` each.
            batch_size: Examples of a step.
            steps: Steps of the call. Hooks are called once, after the last.
        """
        if not self.batch_size:
            require_means(metrics)
        self.state = state
        self.step_before, self.step = self.step, self.step + steps
        self.batch_size = batch_size
        self.complete = self.step >= self.num_steps
        self._unread.append((self.step, steps, metrics))
        if len(self._unread) > _UNREAD_LIMIT:
            self.read(lag=_UNREAD_LIMIT // 2)
        for hook in self._hooks:
            self.clock.hook(hook.on_step, self)
        if jax.process_count() > 1 and self.step >= self._agree_at:
            self._agree()

    @owing
    def finish_step(self) -> None:
        """Calls the hooks that a former start, interrupted, still owes this step."""
        if self.owed is None:
            return
        first, self.owed = self._hooks.index(self.owed), None
        for hook in self._hooks[first:]:
            self.clock.hook(hook.on_step, self)

    def _agree(self) -> None:
        """Ends the run if one of several processes was asked to; says when to ask next.

        What one process measured must not decide: all take the shortest of the waits.
        """
        step, time_then = self._agreed
        seconds = (time.monotonic() - time_then) / max(self.step - step, 1)
        steps = min(max(int(_AGREE_SECONDS / max(seconds, 1e-9)), 1), _AGREE_STEPS)
        wishes = processes.gather([steps, self._asked and self._asked[:60]])
        self._agreed = (self.step, time.monotonic())
        self._agree_at = self.step + min(steps for steps, _ in wishes)
        reasons = [reason for _, reason in wishes if reason is not None]
        if reasons and not self.complete:
            self.stop_reason = reasons[0]

    def named_hooks(self) -> Iterable[tuple[str, Hook]]:
        """Yields every hook with the name under which its values are saved."""
        seen: collections.Counter[str] = collections.Counter()
        for hook in self._hooks:
            name = type(hook).__name__
            seen[name] += 1
            yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), hook


def _each_step(
    taken: Iterable[tuple[int, int, Metrics]], values: Iterable[Metrics]
) -> Iterable[tuple[int, Metrics]]:
    """Yields every step with its metrics, those of a call of several one by one."""
    for (last, steps, _), metrics in zip(taken, values, strict=True):
        if steps == 1:
            yield last, metrics
            continue
        for k in range(steps):
            one = jax.tree.map(lambda stacked, k=k: stacked[k], metrics)
            yield last - steps + 1 + k, one


def _averages(sums: dict[str, list[float]]) -> dict[str, float]:
    return {
        name: total / count if count else math.nan
        for name, (total, count) in sums.items()
    }
