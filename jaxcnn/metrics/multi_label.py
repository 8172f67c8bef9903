"""Whether yes or no is right, for every example and each of its questions."""

import jax.numpy as jnp

from jaxcnn.typing import Array


def labels_correct(logits: Array, labels: Array, *, threshold: float = 0.0) -> Array:
    """Returns the share of an example's questions that are answered right.

    For one question an example this is binary accuracy. A `nan` is never right.

    Args:
        logits: Scores, `[batch]` or `[batch, ...]`; above the threshold means yes.
        labels: 1 or True for yes, 0 or False for no, of the same shape. Soft ones count
            as yes from 0.5 on.
        threshold: In logits: 0 is a probability of one half.

    Returns:
        `[batch]`, float32, in [0, 1].

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> logits = jnp.array([[2.0, -1.0, 0.5]])
        >>> print(f"{labels_correct(logits, jnp.array([[1, 0, 0]]))[0]:.2f}")
        0.67
    """
    right = _right(logits, labels, threshold)
    return right.mean(axis=tuple(range(1, right.ndim)))


def all_labels_correct(
    logits: Array, labels: Array, *, threshold: float = 0.0
) -> Array:
    """Returns 1 where all of an example's questions are answered right (exact match).

    Args:
        logits: As for `labels_correct`.
        labels: As for `labels_correct`.
        threshold: As for `labels_correct`.

    Returns:
        `[batch]`, float32, 0 or 1.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> logits = jnp.array([[2.0, -1.0], [2.0, 1.0]])
        >>> print(all_labels_correct(logits, jnp.array([[1, 0], [1, 0]])))
        [1. 0.]
    """
    right = _right(logits, labels, threshold)
    return right.min(axis=tuple(range(1, right.ndim)))


def _right(logits: Array, labels: Array, threshold: float) -> Array:
    if logits.ndim < 1 or logits.shape != labels.shape:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} differ in shape: yes or "
            "no is needed for each logit, [batch] or [batch, classes]."
        )
    yes = labels.astype(jnp.float32) >= 0.5
    # Two comparisons, both false for nan.
    return jnp.where(yes, logits > threshold, logits <= threshold).astype(jnp.float32)
