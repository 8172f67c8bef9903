"""All that is worth knowing of a classifier's predictions, as a table and as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.metrics.agreement import cohen_kappa, matthews_correlation
from jaxcnn.metrics.bootstrap import Interval, bootstrap_interval
from jaxcnn.metrics.calibration import Calibration, check_bins
from jaxcnn.metrics.checks import checked_probabilities
from jaxcnn.metrics.confusion import (
    accuracy,
    f1,
    precision,
    recall,
    specificity,
)
from jaxcnn.metrics.per_class import balanced_accuracy
from jaxcnn.metrics.ranking import (
    Ranked,
    area_of,
    auroc,
    average_precision,
    average_precision_of,
    mean_of_known,
)
from jaxcnn.table import aligned

#: Classes of the largest confusion matrix that is written out.
_WIDEST = 20
_AVERAGES = ("macro", "weighted", "micro")


@dataclasses.dataclass(frozen=True)
class ClassificationReport:
    """What `classification_report` measured.

    Attributes:
        class_names: One name a class.
        counts: The confusion matrix, `[classes, classes]`; rows are true classes.
        per_class: By the name of the metric one value a class: `"precision"`,
            `"recall"`, `"specificity"`, `"f1"`, `"auroc"`, `"average_precision"`. `nan`
            where the metric is 0 / 0.
        averages: `"macro"`, `"weighted"` and `"micro"` means of the first four.
        overall: One number a metric of the whole.
        intervals: Of the names of `overall` and `"recall of NAME"` of every class: the
            value and its bootstrap interval. Empty without resamples.
        bins: Calibration of the most probable class, or of class 1 of two.
        threshold: From which probability of class 1 on it was predicted, or None for
            the most probable class.
        confidence: Of the intervals.
    """

    class_names: tuple[str, ...]
    counts: np.ndarray
    per_class: dict[str, np.ndarray]
    averages: dict[str, dict[str, float]]
    overall: dict[str, float]
    intervals: dict[str, Interval]
    bins: Calibration
    threshold: float | None = None
    confidence: float = 0.95

    @property
    def examples(self) -> int:
        """How many examples were measured."""
        return int(self.counts.sum())

    def table(self) -> str:
        """Returns tables of the classes, of the whole, and of what was taken for what.

        `-` stands for a metric that is 0 / 0. The last is left out for more than 20
        classes.
        """
        tables = [self._class_table(), self._overall_table()]
        if len(self.class_names) <= _WIDEST:
            tables.append(self._confusion_table())
        return "\n\n".join("\n".join(lines) for lines in tables)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for `json.dumps`; None for what is 0 / 0."""
        confidence, hits = self.bins.reliability()
        return _plain(
            {
                "examples": self.examples,
                "class_names": list(self.class_names),
                "threshold": self.threshold,
                "confusion": self.counts,
                "per_class": {**self.per_class, "examples": self.counts.sum(axis=1)},
                "averages": self.averages,
                "overall": self.overall,
                "intervals": {
                    name: {"low": found.low, "high": found.high}
                    for name, found in self.intervals.items()
                },
                "confidence": self.confidence,
                "calibration": {
                    "edges": self.bins.edges,
                    "examples": self.bins.count,
                    "confidence": confidence,
                    "hits": hits,
                },
            }
        )

    def _class_table(self) -> list[str]:
        header = ["class", *map(title_of, self.per_class), "examples"]
        support = self.counts.sum(axis=1).astype(int)
        columns = [*self.per_class.values()]
        rows = [
            [name, *(_figure(column[k]) for column in columns), f"{support[k]:,}"]
            for k, name in enumerate(self.class_names)
        ]
        for average, values in self.averages.items():
            figures = [
                _figure(values[n]) if n in values else "" for n in self.per_class
            ]
            rows.append([f"({average})", *figures, f"{self.examples:,}"])
        return aligned(header, rows)

    def _overall_table(self) -> list[str]:
        if not self.intervals:
            rows = [[title_of(n), _figure(v)] for n, v in self.overall.items()]
            return aligned(["", "value"], rows)
        rows = [
            [title_of(name), _figure(found.value), _figure(found.low, found.high)]
            for name, found in self.intervals.items()
        ]
        return aligned(["", "value", f"{100 * self.confidence:g} % interval"], rows)

    def _confusion_table(self) -> list[str]:
        rows = [
            [name, *(f"{n:,}" for n in row)]
            for name, row in zip(self.class_names, self.counts.tolist(), strict=True)
        ]
        return aligned(["true \\ predicted", *self.class_names], rows)


def classification_report(
    probabilities: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    mask: Any = None,
    threshold: float | None = None,
    ordered: bool = False,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    bins: int = 15,
) -> ClassificationReport:
    """Returns all usual metrics of the predictions for a split.

    Args:
        probabilities: `[n, classes]`, two classes or more.
        labels: Class indices, `[n]`.
        class_names: One a class; their numbers by default.
        mask: 0 on examples to leave out, `[n]`.
        threshold: For two classes: class 1 is predicted if its probability is so much
            or more. By default the most probable class is, of equals the first.
        ordered: Whether the classes are grades: adds the quadratic weighted kappa.
        bootstrap: Resamples for the intervals, within the classes; 0 for none.
        confidence: Of the intervals.
        seed: Of the resamples.
        bins: Of the calibration, of equal width.

    Raises:
        ValueError: if the arrays do not fit, names lack, a threshold is given for more
            than two classes, or a number is out of its range.

    Example:
        >>> report = classification_report([[0.9, 0.1], [0.4, 0.6]], [0, 1])
        >>> print(report.overall["accuracy"], report.counts.tolist())
        1.0 [[1, 0], [0, 1]]
    """
    probabilities, labels = checked_probabilities(probabilities, labels, mask)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            "A report needs probabilities [n, classes] of two classes or more, got "
            f"shape {probabilities.shape}."
        )
    classes = probabilities.shape[1]
    names = tuple(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes:
        raise ValueError(f"class_names has {len(names)} names for {classes} classes.")
    if isinstance(bootstrap, bool) or not isinstance(bootstrap, int) or bootstrap < 0:
        raise ValueError(f"bootstrap must be 0 or more resamples, got {bootstrap!r}.")
    check_bins(bins)
    predicted = predicted_classes(probabilities, threshold)
    whole = _Whole(probabilities, labels, predicted, ordered=ordered, bins=bins)
    once = np.ones(len(labels), np.int64)
    counts, intervals = whole.counts(once), {}
    if bootstrap:
        how = {"samples": bootstrap, "confidence": confidence, "seed": seed}
        intervals = _intervals(whole, names, labels, **how)
    return ClassificationReport(
        class_names=names,
        counts=counts,
        per_class=_per_class(counts, probabilities, labels),
        averages={name: _averages(counts, name) for name in _AVERAGES},
        overall=whole.figures(once),
        intervals=intervals,
        bins=whole.bins(once),
        threshold=threshold,
        confidence=confidence,
    )


def predicted_classes(
    probabilities: np.ndarray, threshold: float | None = None
) -> np.ndarray:
    """Returns the class that is predicted of every example, `[n]`.

    Args:
        probabilities: `[n, classes]`.
        threshold: As for `classification_report`.

    Raises:
        ValueError: for a threshold that is `nan` or below 0, or for other than two
            classes.
    """
    if threshold is None:
        return probabilities.argmax(axis=1)
    if probabilities.shape[1] != 2:
        raise ValueError(
            f"threshold is for two classes; there are {probabilities.shape[1]}."
        )
    if not threshold >= 0:
        raise ValueError(f"threshold must be a number of at least 0, got {threshold}.")
    return (probabilities[:, 1] >= threshold).astype(np.int64)


def _per_class(
    counts: np.ndarray, probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        "precision": precision(counts, zero_division=math.nan),
        "recall": recall(counts, zero_division=math.nan),
        "specificity": specificity(counts, zero_division=math.nan),
        "f1": f1(counts, zero_division=math.nan),
        "auroc": auroc(probabilities, labels, average=None),
        "average_precision": average_precision(probabilities, labels, average=None),
    }


def _averages(counts: np.ndarray, average: str) -> dict[str, float]:
    # 0 for a class that is never predicted, as in scikit-learn; none for absent ones.
    occur = counts.sum(axis=1) + counts.sum(axis=0) > 0
    counts = counts[np.ix_(occur, occur)]
    return {
        of.__name__: float(of(counts, average))
        for of in (precision, recall, specificity, f1)
    }


class _Whole:
    """The figures of the whole, of examples that may count several times.

    What does not change with how often each counts is made once, so that a thousand
    resamples take seconds.
    """

    def __init__(
        self,
        probabilities: np.ndarray,
        labels: np.ndarray,
        predicted: np.ndarray,
        *,
        ordered: bool,
        bins: int,
    ) -> None:
        self._classes, self._ordered = probabilities.shape[1], ordered
        self._cells = labels * self._classes + predicted
        # Of two classes the second, as `auroc` and `average_precision`.
        columns = [1] if self._classes == 2 else range(self._classes)
        self._ranked = [Ranked(probabilities[:, k], labels == k) for k in columns]
        if self._classes == 2:
            confidence, self._hits = probabilities[:, 1], labels
        else:
            confidence = probabilities.max(axis=1)
            self._hits = labels == probabilities.argmax(axis=1)
        self._confidence = confidence
        self._edges = np.linspace(0, 1, bins + 1)
        self._bin = np.searchsorted(self._edges[1:-1], confidence)
        errors = np.square(probabilities - np.eye(self._classes)[labels]).sum(axis=1)
        self._errors = errors / 2 if self._classes == 2 else errors
        self._top_5 = _among_first(probabilities, labels, 5)

    def counts(self, times: np.ndarray) -> np.ndarray:
        """Returns the confusion matrix."""
        classes = self._classes
        found = np.bincount(self._cells, times, minlength=classes**2)
        return found.reshape(classes, classes).astype(np.int64)

    def bins(self, times: np.ndarray) -> Calibration:
        """Returns the calibration."""
        values = (times, times * self._confidence, times * self._hits)
        size = len(self._edges) - 1
        sums = (np.bincount(self._bin, value, minlength=size) for value in values)
        return Calibration(self._edges, *sums)

    def figures(self, times: np.ndarray) -> dict[str, float]:
        """Returns every figure.

        Args:
            times: How often each example counts, `[n]`, integers.
        """
        counts, bins, total = self.counts(times), self.bins(times), times.sum()
        steps = [ranked.steps(times) for ranked in self._ranked]
        values = {"accuracy": accuracy(counts)}
        if self._classes > 5:
            values["top_5"] = times @ self._top_5 / total
        values |= {
            "balanced_accuracy": balanced_accuracy(counts),
            "macro_f1": _averages(counts, "macro")["f1"],
            "matthews": matthews_correlation(counts),
            "kappa": cohen_kappa(counts),
        }
        if self._ordered:
            values["quadratic_kappa"] = cohen_kappa(counts, "quadratic")
        areas, precisions = map(area_of, steps), map(average_precision_of, steps)
        values |= {
            "auroc": mean_of_known(np.array([*areas])),
            "average_precision": mean_of_known(np.array([*precisions])),
            "calibration_error": bins.expected_error(),
            "max_calibration_error": bins.maximum_error(),
            "brier": times @ self._errors / total,
        }
        return {name: float(value) for name, value in values.items()}


def _among_first(probabilities: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Returns whether each label is among the k most probable classes, `[n]`."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return (order[:, :k] == labels[:, None]).any(axis=1)


def _intervals(
    whole: _Whole, names: Sequence[str], labels: np.ndarray, **how: Any
) -> dict[str, Interval]:
    """Returns every figure and the recall of every class with its interval."""
    size = len(labels)

    def measured(rows: np.ndarray) -> np.ndarray:
        times = np.bincount(rows, minlength=size)
        recalls = recall(whole.counts(times), zero_division=math.nan)
        return np.array([*whole.figures(times).values(), *recalls])

    found = bootstrap_interval(measured, np.arange(size), stratify=labels, **how)
    keys = [*whole.figures(np.ones(size, np.int64))]
    keys += [f"recall of {name}" for name in names]
    return {
        key: Interval(*map(float, bounds))
        for key, *bounds in zip(keys, *found, strict=True)
    }


def title_of(name: str) -> str:
    """Returns what a metric is called in a table."""
    special = {"f1": "F1", "auroc": "AUROC", "macro_f1": "macro F1", "top_5": "top-5"}
    return special.get(name, name.replace("_", " "))


def _figure(*values: float) -> str:
    return " to ".join("-" if math.isnan(v) else f"{v:.3f}" for v in values)


def _plain(value: Any) -> Any:
    """Returns JSON values: lists for arrays, None for what is not finite."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
