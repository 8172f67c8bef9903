"""The task of estimating numbers."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxcnn.losses import absolute_error, squared_error
from jaxcnn.metrics import Mean
from jaxcnn.train.task import Loss, Metrics, Task, entry, task_loss
from jaxcnn.typing import Batch


def regression(
    *,
    loss: str | Loss = "squared_error",
    loss_options: Mapping[str, Any] | None = None,
) -> Task:
    """Returns the task of estimating the numbers of `batch["target"]`.

    Targets are floats, `[batch]` or `[batch, n]` (integers are taken for pixels, and
    divided by their type's maximum); the model returns as many, `[batch, n]`. They are
    best given in units in which they are about 1.

    The metrics are `"mean_absolute_error"` and `"mean_squared_error"`, averaged over
    the n numbers of an example, in the targets' units and their square.

    Args:
        loss: One of `list_losses("regression")`, or a function `loss(outputs, targets)`
            that gives `[batch]`.
        loss_options: Its options, such as `{"delta": 0.5}` of `"huber"`.

    Raises:
        ValueError: if the loss or an option of it is unknown.
    """
    cost = task_loss("regression", loss, loss_options)

    def target(outputs: jax.Array, batch: Batch) -> jax.Array:
        targets = entry(batch, "target")
        # Else `[batch, 1]` less `[batch]` would be every pair's difference.
        return targets[:, None] if outputs.shape == (*targets.shape, 1) else targets

    def loss_of(outputs: jax.Array, batch: Batch) -> jax.Array:
        return cost(outputs, target(outputs, batch))

    def metrics(outputs: jax.Array, batch: Batch) -> Metrics:
        mask, targets = batch["mask"], target(outputs, batch)
        return {
            "mean_absolute_error": Mean.of(absolute_error(outputs, targets), mask),
            "mean_squared_error": Mean.of(squared_error(outputs, targets), mask),
        }

    return Task(loss_of, metrics)
