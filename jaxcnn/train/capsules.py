"""The task of a capsule network: margins of lengths, and images drawn from capsules."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.losses import margin_loss, squared_error
from jaxcnn.metrics import Mean, all_correct
from jaxcnn.train.task import Metrics, Task, entry
from jaxcnn.typing import Array, Batch, PyTree


def capsules(*, reconstruction_weight: float = 0.0005) -> Task:
    """Returns the task of telling which classes are in an image by capsules.

    The model is called with the images and `batch["label"]`, as `CapsNet` is: the
    decoder draws what the capsules of the true classes hold. Labels are class indices,
    `[batch]`, or `[batch, n]` where n different things lie in each image; each of them
    is then drawn alone.

    The loss is the margin loss plus `reconstruction_weight` times the squared error,
    summed over the pixels and over the n images drawn. What they should equal is
    `batch["target"]`, `[batch, n, height, width, channels]`, where the batch has one,
    else the image itself. A model without a decoder has the margin loss alone.

    The metrics are `"accuracy"`, the share of images whose n classes are all right (the
    n longest capsules), `"margin_loss"`, and with a decoder `"squared_error"`, the mean
    over pixels.

    Args:
        reconstruction_weight: Weight of the squared error summed over pixels in [0, 1].

    Raises:
        ValueError: if the weight is negative.

    References:
        Sabour et al., "Dynamic Routing Between Capsules", NeurIPS 2017, sections 3 and
        4.1, https://arxiv.org/abs/1710.09829.
    """
    if not reconstruction_weight >= 0:
        raise ValueError(
            f"reconstruction_weight must be 0 or more, got {reconstruction_weight}."
        )

    def inputs(batch: Batch) -> tuple[Any, ...]:
        return entry(batch, "image"), entry(batch, "label")

    def loss(outputs: PyTree, batch: Batch) -> Array:
        value = _margin_loss(outputs, batch)
        if "reconstruction" in _named(outputs):
            drawn, pixels = _drawn(outputs), _drawn(outputs)[0].size
            value += reconstruction_weight * pixels * _error(drawn, batch)
        return value

    def metrics(outputs: PyTree, batch: Batch) -> Metrics:
        mask, logits = batch["mask"], _named(outputs)["logits"]
        found = {
            "accuracy": Mean.of(all_correct(logits, _rows(batch)), mask),
            "margin_loss": Mean.of(_margin_loss(outputs, batch), mask),
        }
        if "reconstruction" in _named(outputs):
            found["squared_error"] = Mean.of(_error(_drawn(outputs), batch), mask)
        return found

    return Task(loss, metrics, inputs)


def _named(outputs: PyTree) -> Mapping[str, Array]:
    """Returns the outputs by name: a model without a decoder gives the logits alone."""
    return outputs if isinstance(outputs, Mapping) else {"logits": outputs}


def _drawn(outputs: PyTree) -> Array:
    return outputs["reconstruction"]


def _rows(batch: Batch) -> Array:
    """Returns the labels as `[batch, n]`."""
    labels = entry(batch, "label")
    return labels[:, None] if labels.ndim == 1 else labels


def _margin_loss(outputs: PyTree, batch: Batch) -> Array:
    logits, rows = _named(outputs)["logits"], _rows(batch)
    if rows.shape[1] == 1:
        return margin_loss(logits, rows[:, 0])
    classes = logits.shape[1]
    present = jax.nn.one_hot(rows, classes, dtype=jnp.float32).max(axis=1)
    inside = ((rows >= 0) & (rows < classes)).all(axis=1)
    return jnp.where(inside, margin_loss(logits, present), jnp.nan)


def _error(drawn: Array, batch: Batch) -> Array:
    """Returns the mean squared error over the pixels, `[batch]`."""
    target = batch["target"] if "target" in batch else batch["image"]
    return squared_error(drawn, target)
