import json

import numpy as np
import pytest
from sklearn import metrics as sk

from jaxcnn import metrics
from jaxcnn.metrics import auroc, classification_report


def predictions(classes=3, n=120, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True), labels


def test_the_figures_are_those_of_scikit_learn():
    probabilities, labels = predictions()
    report = classification_report(probabilities, labels, bootstrap=0)
    predicted = probabilities.argmax(axis=1)
    expected = sk.classification_report(labels, predicted, output_dict=True)
    for metric, theirs in {"precision": 0, "recall": 0, "f1": "f1-score"}.items():
        theirs = theirs or metric
        got = [*report.per_class[metric], report.averages["macro"][metric]]
        got.append(report.averages["weighted"][metric])
        keys = ("0", "1", "2", "macro avg", "weighted avg")
        np.testing.assert_allclose(got, [expected[k][theirs] for k in keys])
    assert report.overall["accuracy"] == pytest.approx(expected["accuracy"])
    assert report.averages["micro"]["f1"] == pytest.approx(expected["accuracy"])
    area = sk.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert report.overall["auroc"] == pytest.approx(area)
    assert "top_5" not in report.overall


@pytest.mark.parametrize("classes", [2, 3])
def test_the_figures_of_the_whole_are_those_of_the_functions(classes):
    probabilities, labels = predictions(classes)
    report = classification_report(probabilities, labels, bootstrap=0, ordered=True)
    shown = probabilities[:, 1] if classes == 2 else probabilities
    bins = metrics.calibration(shown, labels)
    expected = {
        "accuracy": metrics.accuracy(report.counts),
        "balanced_accuracy": metrics.balanced_accuracy(report.counts),
        "macro_f1": metrics.f1(report.counts, "macro"),
        "matthews": metrics.matthews_correlation(report.counts),
        "kappa": metrics.cohen_kappa(report.counts),
        "quadratic_kappa": metrics.cohen_kappa(report.counts, "quadratic"),
        "auroc": metrics.auroc(probabilities, labels),
        "average_precision": metrics.average_precision(probabilities, labels),
        "calibration_error": bins.expected_error(),
        "max_calibration_error": bins.maximum_error(),
        "brier": metrics.brier_score(probabilities, labels),
    }
    assert report.overall == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(report.bins.count, bins.count)


def test_the_intervals_are_those_of_resampled_examples():
    probabilities, labels = predictions(n=60)
    report = classification_report(probabilities, labels, bootstrap=40, seed=5)

    def functions(p, y):
        counts = sk.confusion_matrix(y, p.argmax(axis=1), labels=range(3))
        return np.array(
            [metrics.auroc(p, y), metrics.brier_score(p, y), metrics.recall(counts)[1]]
        )

    found = metrics.bootstrap_interval(
        functions, probabilities, labels, samples=40, seed=5, stratify=labels
    )
    for name, *bounds in zip(("auroc", "brier", "recall of 1"), *found, strict=True):
        np.testing.assert_allclose(report.intervals[name], bounds, rtol=1e-12)


def test_top_5_of_many_classes():
    probabilities, labels = predictions(classes=8)
    report = classification_report(probabilities, labels, bootstrap=0)
    expected = sk.top_k_accuracy_score(labels, probabilities, k=5, labels=range(8))
    assert report.overall["top_5"] == pytest.approx(expected)


def test_a_threshold_moves_two_classes():
    probabilities, labels = predictions(classes=2)
    plain = classification_report(probabilities, labels, bootstrap=0)
    low = classification_report(probabilities, labels, threshold=0.2, bootstrap=0)
    called = probabilities[:, 1] >= 0.2
    expected = sk.confusion_matrix(labels, called)
    np.testing.assert_array_equal(low.counts, expected)
    assert low.per_class["recall"][1] > plain.per_class["recall"][1]
    assert low.overall["auroc"] == plain.overall["auroc"]
    assert low.overall["auroc"] == auroc(probabilities[:, 1], labels)


def test_absent_classes_and_masks():
    probabilities, labels = predictions(classes=3)
    hidden = labels == 2
    report = classification_report(
        probabilities, labels, mask=~hidden, bootstrap=20, ordered=True
    )
    assert report.examples == (~hidden).sum()
    assert np.isnan(report.per_class["recall"][2])
    assert report.overall["balanced_accuracy"] == pytest.approx(
        report.per_class["recall"][:2].mean()
    )
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert values["per_class"]["recall"][2] is None
    assert values["per_class"]["examples"][2] == 0
    assert -1 <= values["overall"]["quadratic_kappa"] <= 1
    row = next(x for x in report.table().splitlines() if x.startswith("2 "))
    assert " - " in row


def test_the_table_shows_classes_the_whole_and_the_confusion():
    probabilities, labels = predictions(classes=2)
    report = classification_report(
        probabilities, labels, ("healthy", "ill"), bootstrap=50
    )
    classes, whole, confusion = report.table().split("\n\n")
    assert classes.splitlines()[0].split()[:5] == (
        "class precision recall specificity F1".split()
    )
    assert [line.split()[0] for line in classes.splitlines()[2:]] == (
        "healthy ill (macro) (weighted) (micro)".split()
    )
    assert "95 % interval" in whole.splitlines()[0]
    low, high = report.intervals["recall of ill"][1:]
    assert f"{low:.3f} to {high:.3f}" in whole.splitlines()[-1]
    assert report.intervals["recall of ill"].value == report.per_class["recall"][1]
    assert low < report.per_class["recall"][1] < high
    cells = [line.split() for line in confusion.splitlines()[2:]]
    assert [[int(n) for n in row[1:]] for row in cells] == report.counts.tolist()


def test_a_large_confusion_matrix_is_not_written_out():
    probabilities, labels = predictions(classes=21)
    report = classification_report(probabilities, labels, bootstrap=0)
    assert len(report.table().split("\n\n")) == 2
    assert "interval" not in report.table()


P = np.array([[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((P[:, 1], [0, 1]), {}, r"two classes or more, got shape \(2,\)"),
        ((P[:, :1], [0, 0]), {}, r"two classes or more, got shape \(2, 1\)"),
        ((P, [0, 1], ["a"]), {}, "1 names for 2 classes"),
        ((P * 3, [0, 1]), {}, r"probabilities must be in \[0, 1\]"),
        ((P, [0, 2]), {}, r"labels must be in \[0, 2\), got 0 to 2"),
        ((P, [0, 1]), {"bootstrap": -1}, "bootstrap must be 0 or more .* got -1"),
        ((P, [0, 1]), {"bins": 0}, "bins must be .* got 0"),
        ((P, [0, 1]), {"bootstrap": 9, "confidence": 2}, "confidence must be .* got 2"),
        ((P, [0, 1]), {"threshold": -0.5}, "threshold must be .* got -0.5"),
        ((np.eye(3), [0, 1, 2]), {"threshold": 0.5}, "two classes; there are 3"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        classification_report(*arguments, **options)
