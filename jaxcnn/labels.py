"""Class indices beside scores: what losses and metrics ask of them alike."""

import jax.numpy as jnp

from jaxcnn.typing import Array


def check_labels(scores: Array, labels: Array, name: str = "logits") -> None:
    """Raises unless scores are `[batch, classes]` and labels integers, `[batch]`.

    Args:
        scores: What is compared with the labels.
        labels: Class indices.
        name: What the scores are called, for the message.

    Raises:
        ValueError: naming both shapes and what is needed, or the labels' type.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"{name} {scores.shape} and labels {labels.shape} do not fit: "
            "[batch, classes] and [batch] are needed."
        )
    check_integers(labels)


def check_integers(labels: Array) -> None:
    """Raises ValueError unless the labels are integers."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be integer class indices, not {labels.dtype}.")


def are_classes(labels: Array, classes: int) -> Array:
    """Returns which labels are in `[0, classes)`, booleans."""
    return (labels >= 0) & (labels < classes)
