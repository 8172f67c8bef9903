"""The confusion matrix, a sum that merges exactly, and what follows from it."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np

from jaxcnn.metrics.checks import check_choice
from jaxcnn.typing import Array

AVERAGES = (None, "macro", "micro", "weighted")


@flax.struct.dataclass
class ConfusionMatrix:
    """Counts of examples by true and predicted class, a pytree that merges exactly.

    It is made inside compiled steps; matrices of batches add up, and those of mapped
    devices by `jax.lax.psum`. The counts are exact up to 2**31 - 1.

    Attributes:
        counts: `[classes, classes]`, int32: rows are true classes, columns predicted
            ones, as in scikit-learn.

    Example:
        >>> predicted, labels = jnp.array([0, 1, 1]), jnp.array([0, 0, 1])
        >>> first = ConfusionMatrix.of(predicted, labels, 2)
        >>> print((first + first).counts)
        [[2 2]
         [0 2]]
        >>> print(recall(first.counts), accuracy(first.counts).round(3))
        [0.5 1. ] 0.667
    """

    counts: Array

    @classmethod
    def empty(cls, classes: int) -> "ConfusionMatrix":
        """Returns that of no example."""
        return cls(jnp.zeros((classes, classes), jnp.int32))

    @classmethod
    def of(
        cls, predicted: Array, labels: Array, classes: int, mask: Array | None = None
    ) -> "ConfusionMatrix":
        """Returns the counts of a batch.

        Args:
            predicted: Classes, such as `logits.argmax(axis=1)`, `[batch]`, integers.
            labels: True classes, `[batch]`, integers.
            classes: How many there are. What is outside `[0, classes)` is not counted.
            mask: 0 on padding, `[batch]`; every other example counts 1.

        Raises:
            ValueError: if the shapes differ or classes are not integers.
        """
        predicted, labels = jnp.asarray(predicted), jnp.asarray(labels)
        if predicted.shape != labels.shape or labels.ndim != 1:
            raise ValueError(
                f"predicted {predicted.shape} and labels {labels.shape} must both be "
                "[batch]."
            )
        for name, values in {"predicted": predicted, "labels": labels}.items():
            if not jnp.issubdtype(values.dtype, jnp.integer):
                raise ValueError(f"{name} must be integers, not {values.dtype}.")
        if mask is not None and jnp.shape(mask) != labels.shape:
            raise ValueError(
                f"mask {jnp.shape(mask)} and labels {labels.shape} differ in shape."
            )
        counted = (labels >= 0) & (labels < classes)
        counted &= (predicted >= 0) & (predicted < classes)
        if mask is not None:
            counted &= jnp.asarray(mask) > 0
        # What is not counted goes to a cell of its own, which is cut off.
        cell = jnp.where(counted, labels * classes + predicted, classes**2)
        counts = jnp.zeros(classes**2 + 1, jnp.int32).at[cell].add(1)
        return cls(counts[:-1].reshape(classes, classes))

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return ConfusionMatrix(self.counts + other.counts)


def accuracy(counts: Any) -> float:
    """Returns the share of examples that are named right; `nan` if there are none.

    Args:
        counts: A confusion matrix, `[classes, classes]`; rows are true classes.

    Raises:
        ValueError: if it is none.
    """
    counts = checked_counts(counts)
    return _ratio(np.trace(counts), counts.sum(), np.nan)[()]


def precision(
    counts: Any, average: str | None = None, *, zero_division: float = 0.0
) -> Any:
    r"""Returns, of what is called class k, the share that is of class k.

    .. math:: \mathrm{precision}_k = TP_k / (TP_k + FP_k).

    Args:
        counts: A confusion matrix, `[classes, classes]`; rows are true classes.
        average: None gives one value a class, `[classes]`; `"macro"` their mean, every
            class alike; `"weighted"` their mean by how often each occurs; `"micro"` the
            value of the added counts, which for one label an example is accuracy.
        zero_division: What stands for 0 / 0, as in scikit-learn: 0, 1 or `nan`. Means
            leave `nan` out.

    Raises:
        ValueError: for another average or `zero_division`, or if `counts` is no
            confusion matrix.
    """

    def of(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> Any:
        return _ratio(tp, tp + fp, zero_division)

    return _averaged(of, counts, average, zero_division)


def recall(
    counts: Any, average: str | None = None, *, zero_division: float = 0.0
) -> Any:
    r"""Returns, of the examples of class k, the share that is found (sensitivity).

    .. math:: \mathrm{recall}_k = TP_k / (TP_k + FN_k).

    Args:
        counts: As for `precision`.
        average: As for `precision`.
        zero_division: As for `precision`; here for classes that do not occur.

    Raises:
        ValueError: as `precision` does.
    """

    def of(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> Any:
        return _ratio(tp, tp + fn, zero_division)

    return _averaged(of, counts, average, zero_division)


def specificity(
    counts: Any, average: str | None = None, *, zero_division: float = 0.0
) -> Any:
    r"""Returns, of the examples that are not of class k, the share not called k.

    .. math:: \mathrm{specificity}_k = TN_k / (TN_k + FP_k).

    With two classes the specificity of one is the recall of the other.

    Args:
        counts: As for `precision`.
        average: As for `precision`.
        zero_division: As for `precision`; here where all examples are of one class.

    Raises:
        ValueError: as `precision` does.
    """

    def of(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> Any:
        return _ratio(tn, tn + fp, zero_division)

    return _averaged(of, counts, average, zero_division)


def f_score(
    counts: Any,
    average: str | None = None,
    *,
    beta: float = 1.0,
    zero_division: float = 0.0,
) -> Any:
    r"""Returns the harmonic mean of precision and recall: F1, or F-beta.

    .. math:: F_\beta = \frac{(1 + \beta^2) TP}{(1 + \beta^2) TP + \beta^2 FN + FP}.

    Args:
        counts: As for `precision`.
        average: As for `precision`.
        beta: How many times as much recall counts as precision.
        zero_division: As for `precision`; here for classes that neither occur nor are
            predicted.

    Raises:
        ValueError: as `precision` does, or if `beta` is not above 0.

    References:
        van Rijsbergen, "Information Retrieval", 2nd edition, 1979, chapter 7,
        http://www.dcs.gla.ac.uk/Keith/Chapter.7/Ch.7.html.
    """
    if not 0 < beta < np.inf:
        raise ValueError(f"beta must be a finite number above 0, got {beta}.")

    def of(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> Any:
        hit = (1 + beta**2) * tp
        return _ratio(hit, hit + beta**2 * fn + fp, zero_division)

    return _averaged(of, counts, average, zero_division)


def f1(counts: Any, average: str | None = None, *, zero_division: float = 0.0) -> Any:
    """Returns `f_score` with `beta=1`.

    Args:
        counts: As for `precision`.
        average: As for `precision`.
        zero_division: As for `f_score`.

    Raises:
        ValueError: as `precision` does.
    """
    return f_score(counts, average, zero_division=zero_division)


def checked_counts(counts: Any) -> np.ndarray:
    """Returns a confusion matrix as float64.

    Raises:
        ValueError: if it is not square or holds what is no count.
    """
    counts = np.asarray(getattr(counts, "counts", counts), np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(
            f"A confusion matrix is [classes, classes], got shape {counts.shape}."
        )
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError("A confusion matrix holds numbers of 0 or more.")
    return counts


def _averaged(
    of: Callable[..., Any], counts: Any, average: str | None, zero_division: float
) -> Any:
    check_choice("average", average, AVERAGES)
    if not (zero_division in (0, 1) or np.isnan(zero_division)):
        raise ValueError(f"zero_division must be 0, 1 or nan, got {zero_division!r}.")
    counts = checked_counts(counts)
    tp, occurs, called = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    tn = counts.sum() - occurs - called + tp
    parts = (tp, called - tp, occurs - tp, tn)
    if average == "micro":
        return of(*(part.sum() for part in parts))[()]
    values = of(*parts)
    if average is None:
        return values
    weights = occurs if average == "weighted" else np.ones_like(occurs)
    known = ~np.isnan(values)
    if not known.any():
        return np.float64(np.nan)
    if weights[known].sum() == 0:
        return values[known].mean()
    return np.average(values[known], weights=weights[known])


def _ratio(part: Any, whole: Any, zero_division: float) -> np.ndarray:
    """Returns `part / whole` in float64, and what stands for it where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    nothing = np.full(np.shape(whole), zero_division, np.float64)
    return np.divide(part, whole, out=nothing, where=whole > 0)
