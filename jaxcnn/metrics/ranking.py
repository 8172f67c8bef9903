"""How well scores put the examples of a class before all others: ROC, AUROC, AP.

Functions of all scores of a split, gathered in NumPy arrays: they are no sums.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.metrics.checks import check_choice, checked_scores


class Steps(NamedTuple):
    """What every threshold from the highest down counts; the first lets none through.

    Attributes:
        thresholds: Infinity and then the distinct scores, falling, `[m]`. An example is
            called positive if its score is the threshold or more.
        tp: Positives that are called so, `[m]`.
        fp: Negatives that are called positive, `[m]`.
    """

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray


class Ranked:
    """Scores in order, sorted once, of examples that may then count several times."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        """Sorts the examples.

        Args:
            scores: `[n]`, float64.
            positive: Whether each is positive, `[n]`, booleans.
        """
        self._order = np.argsort(-scores, kind="stable")
        self._positive = positive[self._order]
        scores = scores[self._order]
        # Equal scores, infinite ones too, pass a threshold together.
        steps = np.flatnonzero(scores[1:] != scores[:-1])
        self._last = np.append(steps, len(scores) - 1)
        self._thresholds = np.append(np.inf, scores[self._last])

    def steps(self, weights: np.ndarray | None = None) -> Steps:
        """Returns what every threshold counts.

        Args:
            weights: How often each example counts, `[n]`, integers; once if None.
        """
        if weights is None:
            counts = np.ones(len(self._order), np.int64)
        else:
            counts = weights[self._order]
        tp = np.cumsum(counts * self._positive)[self._last]
        called = np.cumsum(counts)[self._last]
        return Steps(self._thresholds, np.append(0, tp), np.append(0, called - tp))


def steps_of(scores: np.ndarray, positive: np.ndarray) -> Steps:
    """Returns what every threshold counts, equal scores passing it together.

    Args:
        scores: `[n]`, float64.
        positive: Whether each is positive, `[n]`, booleans.
    """
    return Ranked(scores, positive).steps()


def roc_curve(
    scores: Any, labels: Any, mask: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `(false positive rates, recalls, thresholds)`, thresholds falling.

    The same points as scikit-learn's with `drop_intermediate=False`.

    Args:
        scores: Of the class 1, `[n]`.
        labels: 1 or 0, `[n]`, integers or booleans.
        mask: 0 on examples to leave out, `[n]`.

    Raises:
        ValueError: if the arrays do not fit, or only one of the classes occurs.
    """
    scores, labels = _both_classes("The ROC curve", scores, labels, mask)
    steps = steps_of(scores, labels == 1)
    return steps.fp / steps.fp[-1], steps.tp / steps.tp[-1], steps.thresholds


def precision_recall_curve(
    scores: Any, labels: Any, mask: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `(precisions, recalls, thresholds)`, thresholds falling.

    The points of scikit-learn's curve in the order of `roc_curve`; the first, of the
    threshold infinity, has recall 0 and by convention precision 1.

    Args:
        scores: As for `roc_curve`.
        labels: As for `roc_curve`.
        mask: As for `roc_curve`.

    Raises:
        ValueError: as `roc_curve` does.
    """
    scores, labels = _both_classes("The curve", scores, labels, mask)
    steps = steps_of(scores, labels == 1)
    called = steps.tp + steps.fp
    precisions = np.append(1.0, steps.tp[1:] / called[1:])
    return precisions, steps.tp / steps.tp[-1], steps.thresholds


def auroc(
    scores: Any,
    labels: Any,
    mask: Any = None,
    *,
    multi_class: str = "ovr",
    average: str | None = "macro",
) -> Any:
    r"""Returns the area under the ROC curve: how surely a positive outranks a negative.

    .. math:: P(s_+ > s_-) + P(s_+ = s_-) / 2

    over all pairs of a positive and a negative example: 1 is perfect, 0.5 chance.

    Args:
        scores: Of the class 1, `[n]`, or of every class, `[n, classes]`. Of two classes
            the second column is taken.
        labels: Class indices, `[n]`.
        mask: 0 on examples to leave out, `[n]`.
        multi_class: For three classes or more: `"ovr"`, every class against the rest;
            `"ovo"`, all pairs of classes that occur, both scores of a pair on the
            examples of the two (Hand and Till), which the classes' sizes do not change.
        average: `"macro"`, or `"weighted"` by how often classes (pairs) occur; None
            gives one value a class, `[classes]`, for `"ovr"` alone.

    Returns:
        A number. A class that does not occur, or that alone occurs, has `nan`, which
        means leave out; if nothing is left it is `nan`.

    Raises:
        ValueError: if the arrays do not fit, or for another `multi_class` or `average`.

    Example:
        >>> print(auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))
        0.75

    References:
        Hanley and McNeil, Radiology 143 (1), 1982,
        https://doi.org/10.1148/radiology.143.1.7063747; Hand and Till, Machine Learning
        45, 2001, https://doi.org/10.1023/A:1010920819831.
    """
    check_choice("multi_class", multi_class, ("ovr", "ovo"))
    check_choice("average", average, (None, "macro", "weighted"))
    scores, labels = checked_scores(scores, labels, mask)
    if multi_class == "ovo" and average is None:
        raise ValueError("average=None is for multi_class='ovr': 'ovo' has pairs.")
    if scores.ndim == 1:
        return _area(scores, labels == 1)
    if scores.shape[1] == 2 and average is not None:
        return _area(scores[:, 1], labels == 1)
    if multi_class == "ovo":
        return _one_vs_one(scores, labels, average)
    return _one_vs_rest(_area, scores, labels, average)


def average_precision(
    scores: Any, labels: Any, mask: Any = None, *, average: str | None = "macro"
) -> Any:
    r"""Returns the mean precision over the recalls that the thresholds reach.

    .. math:: \sum_m (R_m - R_{m-1}) P_m

    over falling thresholds, without interpolation. By chance it is the share of
    positives: it tells more than AUROC where these are rare.

    Args:
        scores: As for `auroc`.
        labels: As for `auroc`.
        mask: As for `auroc`.
        average: As for `auroc`.

    Returns:
        As for `auroc`; `nan` for a class that does not occur (scikit-learn: 0).

    Raises:
        ValueError: if the arrays do not fit, or for another `average`.
    """
    check_choice("average", average, (None, "macro", "weighted"))
    scores, labels = checked_scores(scores, labels, mask)
    if scores.ndim == 1:
        return _average_precision(scores, labels == 1)
    if scores.shape[1] == 2 and average is not None:
        return _average_precision(scores[:, 1], labels == 1)
    return _one_vs_rest(_average_precision, scores, labels, average)


def area_of(steps: Steps) -> float:
    """Returns the AUROC, `nan` without a positive or a negative."""
    pairs = float(steps.tp[-1]) * float(steps.fp[-1])
    if not pairs:
        return float("nan")
    # The trapezoids under the curve, in whole numbers.
    twice = np.diff(steps.fp) @ (steps.tp[1:] + steps.tp[:-1])
    return float(twice / 2 / pairs)


def average_precision_of(steps: Steps) -> float:
    """Returns the average precision, `nan` without a positive."""
    if not steps.tp[-1]:
        return float("nan")
    gained = np.diff(steps.tp) / steps.tp[-1]
    called = (steps.tp + steps.fp)[1:]
    # Where nothing is called positive, nothing is gained.
    return float(np.sum(gained * steps.tp[1:] / np.maximum(called, 1)))


def _area(scores: np.ndarray, positive: np.ndarray) -> float:
    return area_of(steps_of(scores, positive))


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    return average_precision_of(steps_of(scores, positive))


def _one_vs_rest(
    of: Any, scores: np.ndarray, labels: np.ndarray, average: str | None
) -> Any:
    classes = range(scores.shape[1])
    values = np.array([of(scores[:, k], labels == k) for k in classes])
    if average is None:
        return values
    weights = np.bincount(labels, minlength=len(values))
    return mean_of_known(values, weights if average == "weighted" else None)


def _one_vs_one(scores: np.ndarray, labels: np.ndarray, average: str) -> float:
    values, weights = [], []
    for one, two in itertools.combinations(np.unique(labels), 2):
        both = (labels == one) | (labels == two)
        first = _area(scores[both, one], labels[both] == one)
        second = _area(scores[both, two], labels[both] == two)
        values.append((first + second) / 2)
        weights.append(both.mean())
    return mean_of_known(np.array(values), weights if average == "weighted" else None)


def mean_of_known(values: np.ndarray, weights: Any = None) -> float:
    """Returns the mean without `nan`, which it is itself if nothing is left."""
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    weights = None if weights is None else np.asarray(weights)[known]
    return float(np.average(values[known], weights=weights))


def _both_classes(
    what: str, scores: Any, labels: Any, mask: Any
) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = checked_scores(scores, labels, mask)
    if scores.ndim != 1:
        raise ValueError(
            f"{what} is of the scores of one class, [n], got shape {scores.shape}."
        )
    if labels.min() == labels.max():
        raise ValueError(
            f"{what} needs examples of both classes, got only class {labels[0]}."
        )
    return scores, labels
