"""The sections of a report that are about all examples, as HTML."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.experiment.html import page
from jaxcnn.metrics import (
    ClassificationReport,
    choose_threshold,
    precision_recall_curve,
    roc_curve,
)
from jaxcnn.metrics.report import title_of
from jaxcnn.train import Predictions

#: Classes of the largest matrix that is written out; others are drawn.
_WIDEST = 20
#: Examples under which a class is small: its recall moves by 3 % with each.
_FEW = 30
_NAMED = 10
_HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "calibration_error")
#: How a threshold may be chosen, as `--threshold` says it and as a person would.
_RULES = {
    "validation": ("youden", None),
    "validation:f1": ("f1", None),
    "validation:recall=0.95": ("recall", 0.95),
    "validation:specificity=0.95": ("specificity", 0.95),
}

#: Makes HTML of a function that draws into a file, and an alternative text.
Draw = Callable[[Callable[[Path], None], str], str]


def headline(report: ClassificationReport) -> str:
    """Returns the most important numbers with their intervals."""
    values = {}
    for name in (*_HEADLINE, "quadratic_kappa"):
        if name not in report.overall:
            continue
        found, below = report.intervals.get(name), ""
        if found is not None:
            below = f"{100 * report.confidence:g} %: {_number(found.low)} to "
            below += _number(found.high)
        values[title_of(name)] = (_number(report.overall[name]), below)
    return page.cards(values)


def warnings_of(
    report: ClassificationReport,
    *,
    split: str,
    data_name: str,
    broken: Mapping[str, str],
    chosen: bool,
    trained: bool,
) -> list[str]:
    """Returns what the reader of the numbers should beware of.

    Args:
        report: The numbers.
        split: What was measured.
        data_name: The data, as `jaxcnn data` takes them.
        broken: What could not be decoded, and why.
        chosen: Whether the checkpoint was chosen on what was measured.
        trained: Whether the model was trained on what was measured.
    """
    support = report.counts.sum(axis=1)
    names = report.class_names
    lines = []
    if trained:
        lines.append(
            "The model was trained on this part: it says nothing of new images."
        )
    if chosen:
        lines.append(
            f"The part {split} chose the checkpoint, so the numbers are too good."
        )
    most = int(support.argmax())
    share = support[most] / support.sum()
    accuracy = report.overall["accuracy"]
    lines.append(
        f"Who always says {names[most]} is right in {100 * share:.1f} % of the cases; "
        f"the model in {100 * accuracy:.1f} %."
    )
    if absent := [n for n, count in zip(names, support, strict=True) if not count]:
        lines.append(f"Without examples here: {_some(absent)}. Nothing is known of it.")
    few = [
        f"{n} ({count})"
        for n, count in zip(names, support, strict=True)
        if 0 < count < _FEW
    ]
    if few:
        lines.append(
            f"Fewer than {_FEW} examples of {_some(few)}: a few decide the numbers."
        )
    if report.examples < 100:
        lines.append(f"{report.examples} examples in all: the intervals are wide.")
    if not report.intervals:
        lines.append("No intervals: there was no bootstrap.")
    if broken:
        named = _some([name.strip("'") for name in broken])
        images = "1 image" if len(broken) == 1 else f"{len(broken):,} images"
        lines.append(f"{images} cannot be decoded, left out: {named}.")
    lines.append(
        "Whether images of this part, or the same patients, are in the training part "
        f'too was not looked for here: jaxcnn data "{_folder(data_name)}" does.'
    )
    return lines


def class_section(report: ClassificationReport) -> list[str]:
    """Returns the table of the classes, and that of the whole."""
    columns = list(report.per_class)
    support = report.counts.sum(axis=1)
    header = ["class", *map(title_of, columns), "recall interval", "examples"]
    if not report.intervals:
        header.remove("recall interval")
    rows = []
    for k, name in enumerate(report.class_names):
        row = [name, *(_number(report.per_class[c][k]) for c in columns)]
        if report.intervals:
            found = report.intervals[f"recall of {name}"]
            row.append(f"{_number(found.low)} to {_number(found.high)}")
        rows.append([*row, f"{support[k]:,}"])
    for average, values in report.averages.items():
        row = [f"({average})"]
        row += [_number(values[c]) if c in values else "" for c in columns]
        rows.append([*row, *[""] * bool(report.intervals), f"{report.examples:,}"])
    found = [
        [title_of(n), _number(v), *_interval(report, n)]
        for n, v in report.overall.items()
    ]
    above = ["", "value"]
    if report.intervals:
        above.append(f"{100 * report.confidence:g} % interval")
    return [
        page.heading("Every class"),
        page.table(header, rows),
        page.heading("The whole"),
        page.table(above, found, caption="Intervals by bootstrap, within the classes."),
    ]


def _interval(report: ClassificationReport, name: str) -> list[str]:
    if not report.intervals:
        return []
    found = report.intervals[name]
    return [f"{_number(found.low)} to {_number(found.high)}"]


def confusion_section(report: ClassificationReport, draw: Draw) -> list[str]:
    """Returns what was taken for what: a matrix, and the most frequent mistakes."""
    from jaxcnn.plotting import confusion_heat_map

    names, counts = report.class_names, report.counts
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    body = [page.heading("Confusion matrix")]
    if len(names) <= _WIDEST:
        rows = [
            [
                name,
                *(
                    f"{n:,} ({100 * s:.1f} %)"
                    for n, s in zip(counts[k], shares[k], strict=True)
                ),
            ]
            for k, name in enumerate(names)
        ]
        caption = "Counts, and shares of the row. Rows are true classes."
        header = ["true \\ predicted", *names]
        body.append(page.table(header, rows, caption=caption, shades=shares.tolist()))
    else:
        alt = f"Confusion matrix of {len(names)} classes, in shares of the rows"
        body.append(draw(lambda path: confusion_heat_map(path, counts), alt))
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_NAMED]
    pairs = [divmod(int(k), len(names)) for k in order]
    rows = [
        [names[t], names[p], f"{wrong[t, p]:,}", f"{100 * shares[t, p]:.1f} %"]
        for t, p in pairs
        if wrong[t, p]
    ]
    if rows and len(names) > 2:
        header = ["true class", "taken for", "how often", "of the true class"]
        body.append(page.table(header, rows, caption="The most frequent mistakes."))
    return body


def calibration_section(report: ClassificationReport, draw: Draw) -> list[str]:
    """Returns the reliability diagram and the calibration errors."""
    from jaxcnn.plotting import reliability_diagram

    confidence, hits = report.bins.reliability()
    error = report.overall["calibration_error"]
    two = len(report.class_names) == 2
    whose = report.class_names[1] if two else "the most probable class"
    what = "Probability of class 1" if two else "Probability of the predicted class"
    picture = draw(
        lambda path: reliability_diagram(
            path, report.bins.edges, confidence, hits, report.bins.count, what=what
        ),
        f"Reliability diagram: expected calibration error {error:.3f}",
    )
    words = (
        f"The probability of {whose} and how often it came true. Expected calibration "
        f"error {error:.3f}, largest {report.overall['max_calibration_error']:.3f}; "
        "below the diagonal the model is surer than it should be."
    )
    return [page.heading("Calibration"), page.figure(picture, words)]


def ranking_section(
    report: ClassificationReport, found: Predictions, draw: Draw
) -> list[str]:
    """Returns the curves of two classes: ROC and precision-recall."""
    from jaxcnn.plotting import ranking_curves

    scores, labels = found.outputs[:, 1], found.labels
    if labels.min() == labels.max():
        return []
    false_positives, recalls, _ = roc_curve(scores, labels)
    precisions, reached, _ = precision_recall_curve(scores, labels)
    (tn, fp), (fn, tp) = report.counts.tolist()
    at = (fp / (fp + tn), tp / (tp + fn), tp / (tp + fp) if tp + fp else 1.0)
    area, average = report.overall["auroc"], report.overall["average_precision"]
    picture = draw(
        lambda path: ranking_curves(
            path,
            (false_positives, recalls),
            (precisions, reached),
            positives=float(labels.mean()),
            at=at,
        ),
        f"ROC curve, area {area:.3f}, and precision-recall curve, average precision "
        f"{average:.3f}",
    )
    words = (
        f"{report.class_names[1]} against {report.class_names[0]}: area under the ROC "
        f"curve {area:.3f}, average precision {average:.3f}. The ring is the decision "
        "that the numbers above are of; dashed is chance."
    )
    return [page.heading("ROC and precision-recall"), page.figure(picture, words)]


def threshold_section(
    report: ClassificationReport, found: Predictions, validation: Predictions | None
) -> list[str]:
    """Returns what thresholds chosen on the validation part give here."""
    scores, labels = found.outputs[:, 1], found.labels
    if labels.min() == labels.max():
        return []
    rows = [["0.5", "0.5", *["", ""], *_at(scores, labels, 0.5)]]
    if validation is not None:
        for name, (rule, wish) in _RULES.items():
            chosen = choose_threshold(
                validation.outputs[:, 1], validation.labels, rule=rule, at_least=wish
            )
            there = [_number(chosen.recall), _number(chosen.specificity)]
            value = f"{chosen.value:.4g}"
            rows.append([name, value, *there, *_at(scores, labels, chosen.value)])
    header = ["--threshold", "value", "recall there", "specificity there"]
    header += ["recall here", "specificity here", "precision here"]
    words = f"From which probability on {report.class_names[1]} is named. "
    words += "Chosen on the validation part (there), measured on this part (here)."
    if validation is None:
        words += " The run's validation part is not at hand: no more were chosen."
    return [
        page.heading("Thresholds"),
        page.paragraph(words, note=True),
        page.table(header, rows),
    ]


def _at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> list[str]:
    """Returns recall, specificity and precision of a threshold."""
    called = scores >= threshold
    precision = labels[called].mean() if called.any() else math.nan
    values = (called[labels == 1].mean(), (~called[labels == 0]).mean(), precision)
    return [_number(float(value)) for value in values]


def _number(value: Any) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _folder(name: str) -> str:
    """Returns data as `jaxcnn data` takes them."""
    return name.removeprefix("folder:")
