"""Whether probabilities are what they say: calibration by bins, a sum, and Brier."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.metrics.checks import checked_probabilities
from jaxcnn.typing import Array


@flax.struct.dataclass
class Calibration:
    r"""Sums by bin of confidence, a pytree that merges: the reliability diagram.

    Bin b holds the examples whose confidence is above its lower edge and not above its
    upper one; the first holds 0 too.

    Attributes:
        edges: Of the bins, rising, `[bins + 1]`.
        count: Examples in every bin, `[bins]`.
        confidence: Sum of their confidences, `[bins]`.
        hits: How many of them came true, `[bins]`.

    Example:
        >>> half = Calibration.of(np.array([0.9, 0.9]), np.array([1, 0]), bins=5)
        >>> print((half + half).expected_error())  # says 0.9, is right half the time
        0.4

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2,
        https://arxiv.org/abs/1706.04599.
    """

    edges: Array
    count: Array
    confidence: Array
    hits: Array

    @classmethod
    def of(
        cls,
        confidence: Array,
        hits: Array,
        mask: Array | None = None,
        *,
        bins: int = 15,
        edges: Any = None,
    ) -> "Calibration":
        """Returns the sums of a batch, of NumPy arrays in float64.

        Of JAX's arrays, also inside a compiled step, they are float32.

        Args:
            confidence: A probability an example, `[batch]`.
            hits: 1 where what it is the probability of is so, else 0, `[batch]`.
            mask: 0 on padding, `[batch]`; every other example counts 1.
            bins: How many bins of equal width.
            edges: Those of the bins instead, such as `quantile_edges`.

        Raises:
            ValueError: if shapes differ, there is no bin, or edges do not rise.
        """
        found = (confidence, hits) if mask is None else (confidence, hits, mask)
        compiled = any(isinstance(x, jax.Array) for x in found)
        xp, float_type = (jnp, jnp.float32) if compiled else (np, np.float64)
        edges = _edges(bins) if edges is None else _checked_edges(edges)
        confidence, *others = (xp.asarray(x, float_type) for x in found)
        if confidence.ndim != 1 or any(x.shape != confidence.shape for x in others):
            raise ValueError(
                "confidence, hits and mask must all be [batch], got "
                f"{', '.join(str(np.shape(x)) for x in found)}."
            )
        weights = xp.ones_like(confidence) if mask is None else others[1] > 0
        edges = xp.asarray(edges, float_type)
        place = xp.searchsorted(edges[1:-1], confidence)
        size = {"length" if compiled else "minlength": len(edges) - 1}

        def summed(values: Array) -> Array:
            values = xp.where(weights > 0, values, 0)
            return xp.bincount(place, values, **size)

        ones = xp.ones_like(confidence)
        return cls(edges, summed(ones), summed(confidence), summed(others[0]))

    def __add__(self, other: "Calibration") -> "Calibration":
        if not isinstance(other, Calibration):
            return NotImplemented
        return Calibration(
            self.edges,
            self.count + other.count,
            self.confidence + other.confidence,
            self.hits + other.hits,
        )

    def reliability(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean confidence and share of hits of every bin, `nan` if empty."""
        count = np.asarray(self.count, np.float64)
        empty = np.full(len(count), np.nan)
        return tuple(
            np.divide(total, count, out=empty.copy(), where=count > 0)
            for total in (np.asarray(self.confidence), np.asarray(self.hits))
        )

    def expected_error(self) -> float:
        r"""Returns the expected calibration error.

        .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{n} | \mathrm{hits}_b -
            \mathrm{confidence}_b |

        over the means of the bins; `nan` of no example. It depends on the bins.
        """
        confidence, hits = self.reliability()
        count = np.asarray(self.count, np.float64)
        if not count.sum():
            return float("nan")
        gaps = np.nan_to_num(np.abs(hits - confidence))
        return float((count * gaps).sum() / count.sum())

    def maximum_error(self) -> float:
        """Returns the largest gap of a bin (MCE); `nan` of no example."""
        confidence, hits = self.reliability()
        gaps = np.abs(hits - confidence)
        return float(np.nanmax(gaps)) if (gaps >= 0).any() else float("nan")


def calibration(
    probabilities: Any, labels: Any, mask: Any = None, *, bins: int = 15
) -> Calibration:
    """Returns how often a model is right where it is how sure.

    Args:
        probabilities: `[n, classes]`: the confidence is that of the most probable
            class, a hit is that it is the label. Or `[n]`, of the class 1 of two: a hit
            is the label 1, as in scikit-learn's `calibration_curve`.
        labels: Class indices, `[n]`.
        mask: 0 on examples to leave out, `[n]`.
        bins: How many bins of equal width.

    Raises:
        ValueError: if the arrays do not fit, or are no probabilities.
    """
    probabilities, labels = checked_probabilities(probabilities, labels, mask)
    if probabilities.ndim == 1:
        return Calibration.of(probabilities, labels, bins=bins)
    hits = probabilities.argmax(axis=1) == labels
    return Calibration.of(probabilities.max(axis=1), hits, bins=bins)


def quantile_edges(confidence: Any, bins: int = 15) -> np.ndarray:
    """Returns the edges of bins with equally many examples, fewer bins where tied.

    Args:
        confidence: `[n]`, in [0, 1].
        bins: How many bins.

    Raises:
        ValueError: if there is no bin or no example.
    """
    count = len(_edges(bins))
    confidence = np.asarray(confidence, np.float64)
    if confidence.ndim != 1 or not len(confidence):
        raise ValueError(f"confidence must be [n], got shape {confidence.shape}.")
    found = np.unique(np.quantile(confidence, np.linspace(0, 1, count)))
    return found if len(found) > 1 else np.array([0.0, 1.0])


def brier_score(probabilities: Any, labels: Any, mask: Any = None) -> float:
    r"""Returns the mean squared difference of probabilities and what came true.

    .. math:: \frac{1}{n} \sum_i \sum_k (p_{ik} - [y_i = k])^2,

    of two classes half of that, the error of one of them. 0 is perfect.

    Args:
        probabilities: `[n, classes]`, or of the class 1 of two, `[n]`.
        labels: Class indices, `[n]`.
        mask: 0 on examples to leave out, `[n]`.

    Raises:
        ValueError: if the arrays do not fit, or are no probabilities.

    References:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly
        Weather Review 78 (1), 1950.
    """
    probabilities, labels = checked_probabilities(probabilities, labels, mask)
    if probabilities.ndim == 1:
        return float(np.square(probabilities - labels).mean())
    classes = probabilities.shape[1]
    true = labels[:, None] == np.arange(classes)
    total = float(np.square(probabilities - true).sum(axis=1).mean())
    return total / 2 if classes == 2 else total


def check_bins(bins: int) -> None:
    """Raises ValueError unless `bins` is a whole number of at least 1."""
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}.")


def _edges(bins: int) -> np.ndarray:
    check_bins(bins)
    return np.linspace(0, 1, bins + 1)


def _checked_edges(edges: Any) -> np.ndarray:
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"edges must be two or more rising numbers, got {edges}.")
    return edges
