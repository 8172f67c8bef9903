"""Intervals of a metric by the bootstrap: what other samples might have given."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.metrics.checks import check_share


class Interval(NamedTuple):
    """A value and the bounds between which most resamples lie.

    Attributes:
        value: Of all examples as they are.
        low: The lower bound; an array if the value is one.
        high: The upper bound.
    """

    value: Any
    low: Any
    high: Any


def bootstrap_interval(
    metric: Callable[..., Any],
    *arrays: Any,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    stratify: Any = None,
) -> Interval:
    """Returns a metric with its percentile interval over resampled examples.

    As many examples as there are, are drawn with replacement, `samples` times. It tells
    of the chance in which examples the split holds, not of that in training.

    Args:
        metric: `metric(*arrays)`, a number or an array of numbers. Resamples for which
            one is `nan`, as without any example of a class, do not count for it.
        *arrays: Of equal length, resampled together: probabilities, labels, ...
        samples: How many resamples.
        confidence: Share of them between the bounds.
        seed: Chooses the resamples: the same give the same bounds.
        stratify: Classes, `[n]`: every resample then has as many examples of each as
            there are, so that a rare class never lacks.

    Raises:
        ValueError: if the arrays differ in length or are empty, or `samples` or
            `confidence` is out of range.

    Example:
        >>> right = np.arange(100) % 10 > 0
        >>> value, low, high = bootstrap_interval(np.mean, right)
        >>> print(f"{value:.2f}, {low:.2f} to {high:.2f}")
        0.90, 0.83 to 0.95

    References:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    arrays = tuple(np.asarray(x) for x in arrays)
    lengths = [len(x) if x.ndim else 0 for x in arrays]
    if not lengths or min(lengths) == 0 or len(set(lengths)) > 1:
        raise ValueError(
            f"The arrays must have one length of 1 or more, got lengths {lengths}."
        )
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be 1 or more, got {samples!r}.")
    check_share("confidence", confidence)
    if stratify is not None and np.shape(stratify) != (lengths[0],):
        raise ValueError(
            f"stratify must be [{lengths[0]}], one class an example, got "
            f"{np.shape(stratify)}."
        )
    resamples = resampled(lengths[0], samples, seed, stratify)
    values = [np.asarray(metric(*(x[rows] for x in arrays))) for rows in resamples]
    tail = (1 - confidence) / 2
    low, high = _quantiles(np.stack(values).astype(np.float64), (tail, 1 - tail))
    return Interval(metric(*arrays), low, high)


def resampled(
    size: int, samples: int, seed: int = 0, stratify: Any = None
) -> Iterator[np.ndarray]:
    """Yields the rows of every resample, `[size]` each.

    Args:
        size: How many examples there are.
        samples: How many resamples.
        seed: Chooses them.
        stratify: Classes within which rows are drawn, `[size]`, or None.
    """
    rng = np.random.default_rng(seed)
    if stratify is None:
        groups = [np.arange(size)]
    else:
        classes = np.unique(stratify)
        groups = [np.flatnonzero(np.asarray(stratify) == k) for k in classes]
    for _ in range(samples):
        drawn = [group[rng.integers(len(group), size=len(group))] for group in groups]
        yield np.concatenate(drawn)


def _quantiles(values: np.ndarray, tails: tuple[float, float]) -> list[Any]:
    """Returns the quantiles over the first axis, `nan` where there is no number."""
    known = ~np.isnan(values)
    # nanquantile warns of columns of nan alone, which are their own quantiles.
    filled = np.where(known.any(axis=0), values, 0.0)
    found = np.nanquantile(filled, tails, axis=0)
    return [np.where(known.any(axis=0), bound, np.nan)[()] for bound in found]
