"""The loop over resident data: calls of several steps, whose ends hooks see."""

from collections.abc import Callable, Collection
from typing import Any

import jax

from jaxcnn.data.resident import ResidentData
from jaxcnn.train.epoch import parallel_steps
from jaxcnn.train.loop import Loop
from jaxcnn.train.nonfinite import leave_out
from jaxcnn.train.parallel import ParallelStep, parallelize

#: A call on a CPU is unrolled: every step is compiled once more.
MOST_UNROLLED = 64


def run_resident(loop: Loop, step: Callable[..., Any], data: ResidentData) -> None:
    """Makes the steps that are left of a run, several a call.

    Raises:
        ValueError: if the step is for pmap, or a CPU is to unroll too many steps.
    """
    if not isinstance(step, ParallelStep):
        step = parallelize(step, "jit", donate=False)
    most = steps_of_call(data.steps_per_call, data.steps_per_epoch)
    call = parallel_steps(step, numbered=data.numbered)
    examples = data.examples(call.place)
    while loop.step < loop.num_steps and loop.stop_reason is None:
        loop.clock.switch("input")
        first = loop.step
        end = call_end(
            first, most, data.steps_per_epoch, loop.num_steps, loop.watch.left_out
        )
        given = examples, data.rows(first, end - first)
        if not loop.batch_size:
            loop.compile(call, given)
        loop.clock.switch("step")
        if first in loop.watch.left_out:
            state, metrics = leave_out(loop.state)
        else:
            state, metrics = call(loop.state, given)
            if end - first == 1:
                metrics = jax.tree.map(lambda stacked: stacked[0], metrics)
        loop.batch = data[end - 1]
        loop.advance(state, metrics, data.batch_size, end - first)
    loop.clock.switch("input")


def steps_of_call(wanted: int | None, steps_per_epoch: int) -> int:
    """Returns how many steps a call makes at most.

    Raises:
        ValueError: if a CPU is to unroll more than 64.
    """
    on_cpu = jax.default_backend() == "cpu"
    if wanted is None:
        return 1 if on_cpu else steps_per_epoch
    if on_cpu and wanted > MOST_UNROLLED:
        raise ValueError(
            f"steps_per_call is {wanted}: on a CPU, where every step of a call is "
            f"compiled anew, {MOST_UNROLLED} at most."
        )
    return wanted


def call_end(
    first: int,
    most: int,
    steps_per_epoch: int,
    num_steps: int,
    left_out: Collection[int] = (),
) -> int:
    """Returns the number of steps after the call that begins with step `first`.

    Calls end at the same steps wherever a run was resumed: at every multiple of `most`
    within an epoch, and at its end.

    Args:
        first: Steps made before.
        most: Steps of a call at most.
        steps_per_epoch: Steps of an epoch.
        num_steps: Steps in all.
        left_out: Steps that are not made: each is a call by itself.
    """
    if first in left_out:
        return first + 1
    epoch, within = divmod(first, steps_per_epoch)
    next_call = epoch * steps_per_epoch + (within // most + 1) * most
    end = min(next_call, (epoch + 1) * steps_per_epoch, num_steps)
    return min([end, *(k for k in left_out if first < k < end)])
