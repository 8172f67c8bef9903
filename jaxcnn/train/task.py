"""What a model is trained for: a loss and metrics of its outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxcnn.losses import make_loss
from jaxcnn.metrics import (
    Mean,
    correct,
    psnr,
    recall_and_precision,
    ssim,
    top_k_correct,
)
from jaxcnn.tree import nearest
from jaxcnn.typing import Batch, PyTree

Metrics = dict[str, Mean]
Loss = Callable[[Any, Any], jax.Array]


def image_input(batch: Batch) -> tuple[Any, ...]:
    """Returns the model's arguments for a model that takes the images alone."""
    return (entry(batch, "image"),)


def entry(batch: Batch, name: str) -> Any:
    """Returns an entry of the batch, or raises ValueError with those that it has."""
    if name not in batch:
        raise ValueError(
            f"The batch has no {name!r}, which the task needs: it has {sorted(batch)}."
            f"{nearest(name, batch)}"
        )
    return batch[name]


class Task(NamedTuple):
    """What a model is trained for. All functions are pure.

    Attributes:
        loss: `loss(outputs, batch)` gives the loss of every example, `[batch]`.
        metrics: `metrics(outputs, batch)` gives a `Mean` for every name. The batch
            holds `"mask"`, 1 for the examples that count.
        inputs: `inputs(batch)` gives the positional arguments of the model, by default
            the images alone. A model of several inputs names them here.
    """

    loss: Callable[[PyTree, Batch], jax.Array]
    metrics: Callable[[PyTree, Batch], Metrics]
    inputs: Callable[[Batch], tuple[Any, ...]] = image_input


def require_means(metrics: Any) -> None:
    """Raises ValueError unless the metrics are a `Mean` by name."""
    if not isinstance(metrics, Mapping):
        raise ValueError(f"Metrics must be a dict of Mean by name, got {metrics!r}.")
    for name, value in metrics.items():
        if not isinstance(value, Mean):
            raise ValueError(
                f"The metric {name!r} must be a jaxcnn.metrics.Mean, such as "
                f"Mean.of(values, mask), got {type(value).__name__}."
            )


def task_loss(kind: str, loss: str | Loss, options: Mapping[str, Any] | None) -> Loss:
    """Returns the loss that a task was given: by name, with options, or itself.

    Raises:
        ValueError: if no loss for such a task has the name, an option is unknown or out
            of range, or options come with a function.
    """
    options = dict(options or {})
    if isinstance(loss, str):
        return make_loss(loss, kind=kind, **options)
    if options:
        raise ValueError(
            f"The options {sorted(options)} need a loss given by name; bind them to "
            f"{loss!r} yourself."
        )
    return loss


def classification(
    *,
    loss: str | Loss = "softmax_cross_entropy",
    loss_options: Mapping[str, Any] | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    top_k: int | None = None,
    per_class: bool = False,
    aux_weight: float = 0.3,
) -> Task:
    """Returns the task of naming the one class of an image.

    The loss is the softmax cross entropy between the logits and `batch["label"]`; the
    metric is `"accuracy"` (top-1), a share in [0, 1]. Labels may be soft, `[batch,
    classes]` (mixup): the metrics then take the class with the largest share.

    A model with auxiliary heads returns `{"logits": ..., "aux": [...]}` in training:
    the loss of each auxiliary one is added, times `aux_weight`; the metrics read the
    logits alone.

    Args:
        loss: One of `list_losses("classification")`, or a function `loss(logits,
            labels)` that gives `[batch]`.
        loss_options: Its options, such as `{"gamma": 2.0}` of `"focal_loss"`.
        label_smoothing: Share of the target mass spread over all classes, in [0, 1).
            The loss of an evaluation is smoothed alike.
        class_weights: Weight of every class in the loss, see `balanced_weights`. The
            loss of an evaluation is weighed alike; the metrics are not.
        top_k: Adds the metric `"top_{k}"` if given.
        per_class: Adds `"recall_{k}"` and `"precision_{k}"` of every class k; see
            `balanced_accuracy`.
        aux_weight: Weight of each auxiliary loss: 0.3 is GoogLeNet's (Szegedy et al.,
            2015, section 5, https://arxiv.org/abs/1409.4842); 0.4 is usual for
            Inception-v3.

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1), `top_k` is below 1,
            `aux_weight` is negative, or the loss or an option of it is unknown.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, got {top_k}.")
    if not aux_weight >= 0:
        raise ValueError(f"aux_weight must be 0 or more, got {aux_weight}.")
    options = dict(loss_options or {})
    if label_smoothing:
        options["label_smoothing"] = label_smoothing
    if class_weights is not None:
        options["class_weights"] = class_weights
    entropy = task_loss("classification", loss, options)

    def loss_of(outputs: PyTree, batch: Batch) -> jax.Array:
        logits, aux = _heads(outputs)
        labels = entry(batch, "label")
        extra = sum(entropy(other, labels) for other in aux)
        return entropy(logits, labels) + aux_weight * extra

    def metrics(outputs: PyTree, batch: Batch) -> Metrics:
        logits, _ = _heads(outputs)
        mask, labels = batch["mask"], batch["label"]
        if labels.ndim == 2:
            labels = labels.argmax(axis=1)
        found = {"accuracy": Mean.of(correct(logits, labels), mask)}
        if top_k is not None:
            found[f"top_{top_k}"] = Mean.of(top_k_correct(logits, labels, top_k), mask)
        if per_class:
            found.update(recall_and_precision(logits, labels, mask))
        return found

    return Task(loss_of, metrics)


def _heads(outputs: PyTree) -> tuple[jax.Array, Sequence[jax.Array]]:
    """Returns the logits and those of the auxiliary heads, if there are any."""
    if not isinstance(outputs, Mapping):
        return outputs, []
    for name in ("logits", "aux"):
        if name not in outputs:
            raise ValueError(
                f"classification() needs logits or a dict of 'logits' and 'aux', got "
                f"one of {sorted(outputs)}.{nearest(name, outputs)}"
            )
    return outputs["logits"], outputs["aux"]


def reconstruction(
    *,
    loss: str | Loss = "squared_error",
    loss_options: Mapping[str, Any] | None = None,
    with_ssim: bool = False,
) -> Task:
    """Returns the task of giving an image back: an autoencoder's.

    The loss is the squared error, averaged over the pixels of an image, to
    `batch["target"]` where the batch has one (denoising), else to the image itself. The
    metric is `"psnr"`, the mean over images of the peak signal-to-noise ratio in dB for
    pixels in [0, 1].

    Args:
        loss: One of `list_losses("reconstruction")`, or a function `loss(outputs,
            targets)` that gives `[batch]`.
        loss_options: Its options, such as `{"delta": 0.1}` of `"huber"`.
        with_ssim: Adds the metric `"ssim"`, the structural similarity.

    Raises:
        ValueError: if the loss or an option of it is unknown, or it takes logits: what
            the model returns are the images that are measured and drawn.
    """
    if (loss_options or {}).get("from_logits"):
        raise ValueError(
            "reconstruction() needs a model that returns images: from_logits=True "
            "would measure and draw logits."
        )
    error = task_loss("reconstruction", loss, loss_options)

    def target(batch: Batch) -> jax.Array:
        return batch["target"] if "target" in batch else batch["image"]

    def loss_of(outputs: jax.Array, batch: Batch) -> jax.Array:
        return error(outputs, target(batch))

    def metrics(outputs: jax.Array, batch: Batch) -> Metrics:
        mask, images = batch["mask"], target(batch)
        found = {"psnr": Mean.of(psnr(outputs, images), mask)}
        if with_ssim:
            found["ssim"] = Mean.of(ssim(outputs, images), mask)
        return found

    return Task(loss_of, metrics)
