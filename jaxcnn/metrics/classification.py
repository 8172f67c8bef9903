"""Whether the label is among the highest scores, for every example."""

import jax.numpy as jnp

from jaxcnn.labels import are_classes, check_labels
from jaxcnn.typing import Array


def correct(logits: Array, labels: Array) -> Array:
    """Returns 1 where the highest score is the label's (top-1), else 0.

    The same as `top_k_correct` with `k=1`: of equal scores the lowest index wins, as in
    `argmax`.

    Args:
        logits: Scores, `[batch, classes]`.
        labels: Class indices, `[batch]`, integers.

    Returns:
        `[batch]`, float32, 0 or 1.

    Example:
        >>> print(correct(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
        [1. 0.]
    """
    return top_k_correct(logits, labels, 1)


def top_k_correct(logits: Array, labels: Array, k: int) -> Array:
    """Returns 1 where the label is among the `k` highest scores, else 0.

    Ties are broken by index, the lowest first, as in `argmax` and `jax.lax.top_k`
    (scikit-learn's `top_k_accuracy_score` puts the highest index first). A `nan` ranks
    above every number, so a diverged model is not taken for a good one: a label whose
    own score is `nan`, or that lies outside `[0, classes)`, is never found.

    Args:
        logits: Scores, `[batch, classes]`.
        labels: Class indices, `[batch]`, integers.
        k: How many of the highest scores count, `1 <= k <= classes`.

    Returns:
        `[batch]`, float32, 0 or 1.

    Raises:
        ValueError: if the shapes do not fit, labels are not integers, or `k` is out of
            range.

    Example:
        >>> print(top_k_correct(jnp.array([[0.5, 0.1, 0.4]]), jnp.array([2]), 2))
        [1.]
    """
    check_labels(logits, labels)
    classes = logits.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k={k} is not between 1 and the {classes} classes.")
    index, label = jnp.arange(classes)[None, :], labels[:, None]
    score = jnp.where(index == label, logits, 0).sum(axis=1, keepdims=True)
    # "Not lower" rather than "higher": comparisons with nan are false.
    ahead = jnp.where(index < label, ~(logits < score), ~(logits <= score))
    inside = are_classes(labels, classes)
    return (inside & (ahead.sum(axis=1) < k)).astype(jnp.float32)


def all_correct(logits: Array, labels: Array) -> Array:
    """Returns 1 where the k labels are the k highest scores, in any order, else 0.

    For images in which k different things lie. With k = 1 the same as `correct`.

    Args:
        logits: Scores, `[batch, classes]`.
        labels: Class indices, `[batch, k]`, integers, those of a row all different.

    Returns:
        `[batch]`, float32, 0 or 1.

    Raises:
        ValueError: if the shapes do not fit, labels are not integers, or k is more than
            the classes.

    Example:
        >>> scores = jnp.array([[0.5, 0.1, 0.4], [0.5, 0.1, 0.4]])
        >>> print(all_correct(scores, jnp.array([[2, 0], [0, 1]])))
        [1. 0.]
    """
    if labels.ndim != 2:
        raise ValueError(f"labels {labels.shape} must be [batch, k].")
    k = labels.shape[1]
    found = [top_k_correct(logits, labels[:, n], k) for n in range(k)]
    return jnp.stack(found, axis=1).min(axis=1)
