"""Recall and precision of every class, as means that merge exactly."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxcnn.metrics.classification import correct
from jaxcnn.metrics.confusion import recall
from jaxcnn.metrics.mean import Mean
from jaxcnn.typing import Array

_RECALL = "recall_"


def recall_and_precision(
    logits: Array, labels: Array, mask: Array | None = None
) -> dict[str, Mean]:
    r"""Returns `"recall_k"` and `"precision_k"` of every class k by name.

    .. math::

        \mathrm{recall}_k = \frac{\#(\hat y = k, y = k)}{\#(y = k)}, \quad
        \mathrm{precision}_k = \frac{\#(\hat y = k, y = k)}{\#(\hat y = k)}.

    Each is the mean of one 0 or 1 over the examples of its own denominator, so parts of
    a data set and devices merge exactly. A class that never occurs (or is never
    predicted) has the mean of nothing, `nan`.

    Args:
        logits: Scores, `[batch, classes]`. Of equal ones the lowest index wins.
        labels: Class indices, `[batch]`, integers.
        mask: Weight of every example, `[batch]`, 0 on padding; None weighs all 1.

    Raises:
        ValueError: if the shapes do not fit or labels are not integers.

    Example:
        >>> logits = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> found = recall_and_precision(logits, jnp.array([0, 1, 1]))
        >>> print({name: float(mean.compute()) for name, mean in found.items()})
        {'recall_0': 1.0, 'precision_0': 0.5, 'recall_1': 0.5, 'precision_1': 1.0}
    """
    right, predicted = correct(logits, labels), logits.argmax(axis=1)
    mask = jnp.ones_like(right) if mask is None else mask
    found = {}
    for k in range(logits.shape[1]):
        found[f"{_RECALL}{k}"] = Mean.of(right, mask * (labels == k))
        found[f"precision_{k}"] = Mean.of(right, mask * (predicted == k))
    return found


def balanced_accuracy(values: Mapping[str, float] | Any) -> float:
    """Returns the mean of the recalls of all classes that occur.

    It is no mean over examples, so it is taken last, of what `evaluate` returned or of
    a confusion matrix.

    Args:
        values: Metrics by name, among them `"recall_0"`, `"recall_1"`, ... Those that
            are `nan`, of classes that do not occur, are left out. Or a confusion
            matrix, `[classes, classes]`; rows are true classes.

    Raises:
        ValueError: if there is no recall among them, or it is no confusion matrix.

    Example:
        >>> balanced_accuracy({"loss": 0.3, "recall_0": 0.9, "recall_1": 0.5})
        0.7
    """
    if not isinstance(values, Mapping):
        return float(recall(values, "macro", zero_division=math.nan))
    recalls = [float(v) for name, v in values.items() if name.startswith(_RECALL)]
    if not recalls:
        raise ValueError(
            f"Balanced accuracy needs recalls, such as 'recall_0': got {list(values)}. "
            "classification(per_class=True) measures them."
        )
    known = [value for value in recalls if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
