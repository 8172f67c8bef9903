"""`fit`: the loop over batches and steps, from the first step of a run to its last."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax

from jaxcnn.data.prefetch import prefetch
from jaxcnn.data.resident import ResidentData
from jaxcnn.train.hooks import Hook, SaveCheckpoints, make_hook
from jaxcnn.train.loop import Loop
from jaxcnn.train.nonfinite import NonFiniteError, Watch, leave_out
from jaxcnn.train.parallel import ParallelStep, parallelize
from jaxcnn.train.resident import run_resident
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Batch


class TrainingData(Protocol):
    """What `fit` asks of its data: batch k by number, the same every time."""

    steps_per_epoch: int

    def __getitem__(self, k: int) -> Batch: ...


def fit(
    state: TrainState,
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]],
    data: TrainingData,
    *,
    num_steps: int,
    hooks: Sequence[Hook | str] = (),
    max_skips: int = 10,
    rollbacks: int = 0,
) -> TrainState:
    """Trains until `num_steps` updates have been made in all and returns the state.

    Update k uses `data[k]`, so a restored state goes on where it stopped. The next
    batches are made and sent to the device while a step runs, and nothing waits for the
    device except where a hook reads a value.

    Args:
        state: From `init_state`, or restored. A step that donates makes it unusable.
        step: From `parallelize`, or any function of that kind, called as it is; what
            `make_train_step` returned is compiled by `jax.jit` first.
        data: Answers `data[k]` and `data.steps_per_epoch`. `ResidentData` lie on the
            device, and several steps are one call: hooks are called at its end, for
            all that was due in it.
        num_steps: Updates in all, those already in `state.step` included.
        hooks: What happens around the steps, in this order: `Hook`s, or names of those
            that need no argument: `"progress"`, `"train_log"`, `"stop_on_signal"`.
        max_skips: Steps left out in a row by `skip_nonfinite` that end the run.
        rollbacks: How often a step that is not finite may send the run back to the
            newest checkpoint of the hook `SaveCheckpoints`, to go on from there without
            that step's batch: at that step only the step number changes. A run that
            begins saves its start for this.

    Raises:
        NonFiniteError: if the loss or the state is not finite; raised when a hook reads
            a value, and at the end at the latest.
        ValueError: if a number is out of range, a hook is unknown, or there is no
            `SaveCheckpoints` to roll back to.
    """
    if num_steps < 0:
        raise ValueError(f"num_steps must be 0 or more, got {num_steps}.")
    if not hasattr(data, "steps_per_epoch"):
        raise ValueError(
            "data must answer data[k] and data.steps_per_epoch, as TrainData does; "
            f"got {type(data).__name__}."
        )
    hooks = [make_hook(hook) for hook in hooks]
    watch, started = Watch(max_skips, rollbacks), time.monotonic()
    saver = _saver(hooks) if rollbacks else None
    if hasattr(step, "donates"):
        step = parallelize(step, "jit")
    devices = step.devices if isinstance(step, ParallelStep) else 1
    target = None if saver is None else _shapes_of(state)
    while True:
        loop = Loop(
            state,
            num_steps,
            data.steps_per_epoch,
            hooks,
            devices,
            seed=getattr(data, "seed", None),
            watch=watch,
            started=started,
        )
        try:
            return _start(loop, hooks, step, data, saver)
        except NonFiniteError as error:
            if saver is None or not error.rolls_back:
                raise
            watch = Watch(max_skips, rollbacks, {*watch.left_out, error.step - 1})
        state = saver.resume(target)


def _saver(hooks: Sequence[Hook]) -> SaveCheckpoints:
    for hook in hooks:
        if isinstance(hook, SaveCheckpoints):
            return hook
    raise ValueError(
        "rollbacks need checkpoints to go back to: give fit the hook SaveCheckpoints."
    )


def _shapes_of(state: TrainState) -> TrainState:
    """Returns what a state is restored to after its memory was given to a step."""

    def shape(leaf: jax.Array) -> jax.ShapeDtypeStruct:
        sharding = leaf.sharding if getattr(leaf, "committed", False) else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(shape, state)


def _start(
    loop: Loop,
    hooks: Sequence[Hook],
    step: Callable[..., Any],
    data: TrainingData,
    saver: SaveCheckpoints | None,
) -> TrainState:
    """Returns the state at the end of one start of the hooks."""
    place = getattr(step, "place", None)
    with contextlib.ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.close)
        for hook in hooks:
            loop.clock.hook(hook.on_start, loop)
        if saver is not None:
            saver.save_start(loop)
        if loop.stop_reason is None:
            _run(loop, step, data, place)
        loop.read()
        for hook in hooks:
            loop.clock.hook(hook.on_end, loop)
        loop.report("time", loop.clock.seconds())
    return loop.state


def _run(loop: Loop, step: Callable[..., Any], data: TrainingData, place: Any) -> None:
    loop.finish_step()
    if loop.stop_reason is not None:
        return
    if isinstance(data, ResidentData):
        return run_resident(loop, step, data)
    batches = prefetch(
        data,
        loop.step,
        loop.num_steps,
        place=place,
        stop_early=lambda: loop.interrupted is not None and jax.process_count() == 1,
    )
    with contextlib.closing(batches):
        loop.clock.switch("input")
        for k, batch in batches:
            if not loop.batch_size:
                loop.compile(step, batch)
            loop.clock.switch("step")
            if k in loop.watch.left_out:
                state, metrics = leave_out(loop.state)
            else:
                state, metrics = step(loop.state, batch)
            loop.batch = batch
            loop.advance(state, metrics, jax.tree.leaves(batch)[0].shape[0])
            loop.clock.switch("input")
            if loop.stop_reason is not None:
                break
    if loop.stop_reason is None and loop.step < loop.num_steps:
        loop.stop(loop.interrupted or "the data ended")
