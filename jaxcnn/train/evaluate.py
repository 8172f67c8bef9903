"""Evaluates a state over a whole split, every example once."""

from collections.abc import Callable, Iterable
from typing import Any

import jax

from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Batch

#: Batches that may be under way on the device.
_AHEAD = 4


def evaluate(
    step: Callable[[TrainState, Batch], Metrics],
    state: TrainState,
    batches: Iterable[Batch],
    *,
    derive: Callable[[dict[str, float]], dict[str, float]] | None = None,
) -> dict[str, float]:
    """Returns the mean of every metric over all examples under the masks.

    Totals and counts are merged in float64 and divided once, so the result does not
    depend on how the examples fall into batches (up to the rounding inside a batch).

    Args:
        step: From `make_eval_step`, compiled.
        state: What to evaluate.
        batches: Batches of one size, the last padded under a mask of 0.
        derive: Makes the result from the means, such as `with_quadratic_kappa`: for
            metrics that are no means of the examples.

    Raises:
        ValueError: if there is no batch, or no example counts.
    """
    results: list[Any] = []
    for batch in batches:
        results.append(step(state, batch))
        # The device is never idle, and yet not more than this is on its way: what
        # breaks off (see `Evaluate`) would have to wait for it.
        if len(results) > _AHEAD:
            jax.block_until_ready(results[-1 - _AHEAD])
    results = jax.device_get(results)
    if not results:
        raise ValueError("There is nothing to evaluate: no batches.")
    values = {}
    for name in results[0]:
        total = sum(float(metrics[name].total) for metrics in results)
        count = sum(float(metrics[name].count) for metrics in results)
        if count == 0:
            raise ValueError("There is nothing to evaluate: every mask is 0.")
        values[name] = total / count
    return values if derive is None else derive(values)
