"""Test-time augmentation: predictions averaged over views of an image."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.augment.views import View, make_views
from jaxcnn.train.step import make_predict_step
from jaxcnn.train.task import Task
from jaxcnn.tree import nearest
from jaxcnn.typing import Array, Batch, PyTree

Preprocess = Callable[[Array], Array]


def make_tta_predict(
    model: nn.Module,
    views: str | View | Sequence[str | View],
    *,
    preprocess: Preprocess | None = None,
    average: str = "probabilities",
) -> Callable[[PyTree, Array], Array]:
    """Returns `predict(variables, images) -> logits`, averaged over views of an image.

    The softmax of what it returns is the mean of the views' probabilities, or, with
    `average="logits"`, their geometric mean, normalised. All views are computed as one
    batch, so it takes as many times the memory and the time.

    Args:
        model: A classifier, called as `model.apply(variables, images, train=False)`.
        views: Names, such as `"flip"` or `["flip", "shifts(pixels=1)"]` (all
            combinations), or functions of the images; see `jaxcnn.augment.make_views`.
            They see floats in [0, 1], before the preprocessing.
        preprocess: As in training.
        average: `"probabilities"` or `"logits"`.

    Raises:
        ValueError: if a view or the average is unknown; while tracing, if the model
            does not return logits.
    """
    views = make_views(views)
    _check_average(average)
    predict = make_predict_step(model, preprocess=_of_views(views, preprocess))

    def tta_predict(variables: PyTree, images: Array) -> Array:
        return _averaged(predict(variables, images), len(views), average)

    return tta_predict


def with_views(
    task: Task,
    views: str | View | Sequence[str | View],
    *,
    preprocess: Preprocess | None = None,
    average: str = "probabilities",
) -> tuple[Task, Preprocess]:
    """Returns a task and a preprocessing for an evaluation over views of an image.

    `make_eval_step(model, task, preprocess=preprocess)` made with the two measures the
    averaged prediction of every image by the task's own loss and metrics.

    Args:
        task: What to measure; of logits, such as `classification()`.
        views: As for `make_tta_predict`.
        preprocess: As in training.
        average: `"probabilities"` or `"logits"`.

    Raises:
        ValueError: as `make_tta_predict` does.
    """
    views = make_views(views)
    _check_average(average)

    def loss(outputs: PyTree, batch: Batch) -> Array:
        return task.loss(_averaged(outputs, len(views), average), batch)

    def metrics(outputs: PyTree, batch: Batch) -> Any:
        return task.metrics(_averaged(outputs, len(views), average), batch)

    return Task(loss, metrics, task.inputs), _of_views(views, preprocess)


def _of_views(views: Sequence[View], preprocess: Preprocess | None) -> Preprocess:
    """Returns a preprocessing that makes a batch of all views, view after view."""

    def all_views(images: Array) -> Array:
        images = jnp.concatenate([view(images) for view in views])
        return images if preprocess is None else preprocess(images)

    return all_views


def _averaged(outputs: PyTree, views: int, average: str) -> Array:
    """Returns logits `[batch, classes]` of those of all views, view after view."""
    if not isinstance(outputs, jax.Array) or outputs.ndim != 2:
        raise ValueError(
            "Test-time augmentation averages logits [batch, classes]; the model "
            f"returned {jax.tree.map(jnp.shape, outputs)}."
        )
    logits = outputs.astype(jnp.float32).reshape(views, -1, outputs.shape[1])
    if average == "logits":
        return logits.mean(axis=0)
    logs = jax.nn.log_softmax(logits)
    return jax.nn.logsumexp(logs, axis=0) - jnp.log(views)


def _check_average(average: str) -> None:
    allowed = ("probabilities", "logits")
    if average not in allowed:
        raise ValueError(
            f"average={average!r} is unknown.{nearest(str(average), allowed)} "
            f"Allowed: {', '.join(map(repr, allowed))}."
        )
