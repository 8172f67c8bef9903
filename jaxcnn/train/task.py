"""What a model is trained for: a loss and metrics of its outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxcnn.losses import softmax_cross_entropy, squared_error
from jaxcnn.metrics import Mean, correct, psnr, top_k_correct
from jaxcnn.tree import nearest
from jaxcnn.typing import Batch, PyTree

Metrics = dict[str, Mean]


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


def classification(
    *,
    label_smoothing: float = 0.0,
    top_k: int | None = None,
    aux_weight: float = 0.3,
) -> Task:
    """Returns the task of naming the one class of an image.

    The loss is the softmax cross entropy between the logits and `batch["label"]`; the
    metric is `"accuracy"` (top-1), a share in [0, 1].

    A model with auxiliary heads returns `{"logits": ..., "aux": [...]}` in training:
    the cross entropy of each auxiliary one is added, times `aux_weight`; the metrics
    read the logits alone.

    Args:
        label_smoothing: Share of the target mass spread over all classes, in [0, 1).
            The loss of an evaluation is smoothed alike.
        top_k: Adds the metric `"top_{k}"` if given.
        aux_weight: Weight of each auxiliary loss: 0.3 is GoogLeNet's (Szegedy et al.,
            2015, section 5, https://arxiv.org/abs/1409.4842); 0.4 is usual for
            Inception-v3.

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1), `top_k` is below 1 or
            `aux_weight` is negative.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, got {top_k}.")
    if not aux_weight >= 0:
        raise ValueError(f"aux_weight must be 0 or more, got {aux_weight}.")

    def loss(outputs: PyTree, batch: Batch) -> jax.Array:
        def entropy(logits: jax.Array) -> jax.Array:
            return softmax_cross_entropy(
                logits, entry(batch, "label"), label_smoothing=label_smoothing
            )

        logits, aux = _heads(outputs)
        return entropy(logits) + aux_weight * sum(map(entropy, aux))

    def metrics(outputs: PyTree, batch: Batch) -> Metrics:
        logits, _ = _heads(outputs)
        mask, labels = batch["mask"], batch["label"]
        found = {"accuracy": Mean.of(correct(logits, labels), mask)}
        if top_k is not None:
            found[f"top_{top_k}"] = Mean.of(top_k_correct(logits, labels, top_k), mask)
        return found

    return Task(loss, metrics)


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


def reconstruction() -> Task:
    """Returns the task of giving an image back: an autoencoder's.

    The loss is the squared error, averaged over the pixels of an image, to
    `batch["target"]` where the batch has one (denoising), else to the image itself. The
    metric is `"psnr"`, the mean over images of the peak signal-to-noise ratio in dB for
    pixels in [0, 1].
    """

    def target(batch: Batch) -> jax.Array:
        return batch["target"] if "target" in batch else batch["image"]

    def loss(outputs: jax.Array, batch: Batch) -> jax.Array:
        return squared_error(outputs, target(batch))

    def metrics(outputs: jax.Array, batch: Batch) -> Metrics:
        return {"psnr": Mean.of(psnr(outputs, target(batch)), batch["mask"])}

    return Task(loss, metrics)
