"""The task of answering several questions on an image, each with yes or no."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxcnn.metrics import Mean, all_labels_correct, labels_correct
from jaxcnn.train.task import Loss, Metrics, Task, entry, task_loss
from jaxcnn.typing import Batch


def multi_label(
    *,
    loss: str | Loss = "sigmoid_cross_entropy",
    loss_options: Mapping[str, Any] | None = None,
) -> Task:
    """Returns the task of naming all classes of an image, any number of them.

    `batch["label"]` holds 1 for every class that is there and 0 for the others,
    `[batch, classes]`, as many as the model has logits. One question an image (binary
    classification) has one logit and labels `[batch]` or `[batch, 1]`.

    The metrics are `"label_accuracy"`, the share of right answers, and `"exact_match"`,
    the share of images of which every answer is right. With rare classes the first is
    high also for a model that always says no: compare it with that.

    Args:
        loss: One of `list_losses("multi_label")`, or a function `loss(logits, labels)`
            that gives `[batch]`.
        loss_options: Its options, such as `{"positive_weight": 5.0}`.

    Raises:
        ValueError: if the loss or an option of it is unknown.
    """
    cost = task_loss("multi_label", loss, loss_options)

    def labels_of(logits: jax.Array, batch: Batch) -> jax.Array:
        labels = entry(batch, "label")
        return labels[:, None] if logits.shape == (*labels.shape, 1) else labels

    def loss_of(logits: jax.Array, batch: Batch) -> jax.Array:
        return cost(logits, labels_of(logits, batch))

    def metrics(logits: jax.Array, batch: Batch) -> Metrics:
        mask, labels = batch["mask"], labels_of(logits, batch)
        return {
            "label_accuracy": Mean.of(labels_correct(logits, labels), mask),
            "exact_match": Mean.of(all_labels_correct(logits, labels), mask),
        }

    return Task(loss_of, metrics)
