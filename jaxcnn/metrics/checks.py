"""What metrics of gathered arrays ask of them, with messages that say so."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxcnn.tree import nearest


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raises unless `value` is one of `allowed`.

    Raises:
        ValueError: naming the argument, the value, the nearest name and all allowed.
    """
    allowed = list(allowed)
    if value not in allowed:
        hint = nearest(str(value), map(str, allowed))
        raise ValueError(
            f"{name}={value!r} is unknown.{hint} "
            f"Allowed: {', '.join(map(repr, allowed))}."
        )


def check_share(name: str, value: Any) -> None:
    """Raises unless `value` is a number in (0, 1).

    Raises:
        ValueError: naming the argument and the value.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}.")


def checked_scores(
    scores: Any, labels: Any, mask: Any = None, *, name: str = "scores"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns scores as float64 `[n]` or `[n, classes]` and integer labels `[n]`.

    Args:
        scores: One score an example for the class 1, or one a class.
        labels: True classes.
        mask: 0 on examples to leave out, `[n]`.
        name: What the scores are called, for the message.

    Raises:
        ValueError: if shapes do not fit, nothing is left, a score is `nan`, or a label
            is no class.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim not in (1, 2) or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"{name} {scores.shape} and labels {labels.shape} do not fit: [n] or "
            "[n, classes], and [n] are needed."
        )
    if labels.dtype == bool:
        labels = labels.astype(np.int64)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integer class indices, not {labels.dtype}.")
    if mask is not None:
        if np.shape(mask) != labels.shape:
            raise ValueError(
                f"mask {np.shape(mask)} and labels {labels.shape} differ in shape."
            )
        scores, labels = scores[np.asarray(mask) > 0], labels[np.asarray(mask) > 0]
    if not len(labels):
        raise ValueError("There is nothing to measure: no example counts.")
    if np.isnan(scores).any():
        raise ValueError(f"{name} hold nan: there is no order among them.")
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must be in [0, {classes}), got {labels.min()} to {labels.max()}."
        )
    return scores, labels


def checked_probabilities(
    probabilities: Any, labels: Any, mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `checked_scores` does, of numbers in [0, 1].

    Raises:
        ValueError: as `checked_scores` does, or if one lies outside [0, 1].
    """
    found, labels = checked_scores(probabilities, labels, mask, name="probabilities")
    # Rounding in float32 may leave a softmax a little above 1.
    low, high = found.min(), found.max()
    if low < 0 or high > 1 + 1e-6:
        raise ValueError(f"probabilities must be in [0, 1], got {low:g} to {high:g}.")
    return np.minimum(found, 1), labels
