import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from jaxcnn import metrics


def binary(seed, n=300, ties=False):
    """Returns scores and labels, many scores equal by wish."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    scores = rng.normal(size=n) + labels
    return (scores.round() if ties else scores), labels


def many(seed, n=200, classes=4, ties=False):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n) * rng.integers(0, 2, n)  # class 0 is common
    logits = rng.normal(size=(n, classes)) + 2 * np.eye(classes)[labels]
    logits = logits.round() if ties else logits
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("ties", [False, True])
def test_curves_are_those_of_scikit_learn(ties):
    scores, labels = binary(0, ties=ties)
    expected = sk.roc_curve(labels, scores, drop_intermediate=False)
    for got, wanted in zip(metrics.roc_curve(scores, labels), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    precisions, recalls, thresholds = metrics.precision_recall_curve(scores, labels)
    expected = sk.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precisions, expected[0][::-1], rtol=1e-12)
    np.testing.assert_allclose(recalls, expected[1][::-1], rtol=1e-12)
    np.testing.assert_array_equal(thresholds[1:], expected[2][::-1])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [2, 9, 300])
def test_two_classes_are_those_of_scikit_learn(ties, n):
    scores, labels = binary(n, n, ties)
    labels[:2] = 0, 1
    expected = sk.roc_auc_score(labels, scores)
    assert metrics.auroc(scores, labels) == pytest.approx(expected, rel=1e-12)
    expected = sk.average_precision_score(labels, scores)
    assert metrics.average_precision(scores, labels) == pytest.approx(expected)
    pair = np.stack([-scores, scores], axis=1)
    assert metrics.auroc(pair, labels) == metrics.auroc(scores, labels)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("multi_class", ["ovr", "ovo"])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_many_classes_are_those_of_scikit_learn(ties, multi_class, average):
    scores, labels = many(1, ties=ties)
    options = {"multi_class": multi_class, "average": average}
    expected = sk.roc_auc_score(labels, scores, **options)
    assert metrics.auroc(scores, labels, **options) == pytest.approx(expected, 1e-12)
    expected = sk.average_precision_score(np.eye(4)[labels], scores, average=average)
    got = metrics.average_precision(scores, labels, average=average)
    assert got == pytest.approx(expected, rel=1e-12)


def test_each_class_against_the_rest():
    scores, labels = many(2)
    expected = sk.roc_auc_score(np.eye(4)[labels], scores, average=None)
    got = metrics.auroc(scores, labels, average=None)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    expected = sk.average_precision_score(np.eye(4)[labels], scores, average=None)
    got = metrics.average_precision(scores, labels, average=None)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_class_that_does_not_occur_is_left_out():
    scores, labels = many(3)
    labels[labels == 2] = 1
    values = metrics.auroc(scores, labels, average=None)
    assert np.isnan(values).tolist() == [False, False, True, False]
    assert metrics.auroc(scores, labels) == pytest.approx(np.nanmean(values))
    # scikit-learn knows the classes by `labels`, and takes pairs of those that occur.
    expected = sk.roc_auc_score(labels, scores, multi_class="ovo", labels=range(4))
    got = metrics.auroc(scores, labels, multi_class="ovo")
    assert got == pytest.approx(expected, rel=1e-12)
    values = metrics.average_precision(scores, labels, average=None)
    assert np.isnan(values).tolist() == [False, False, True, False]
    weighted = metrics.average_precision(scores, labels, average="weighted")
    expected = np.bincount(labels, minlength=4) @ np.nan_to_num(values) / len(labels)
    assert weighted == pytest.approx(expected)


def test_one_class_alone_has_no_area():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metrics.auroc([0.1, 0.2], [1, 1]))
        assert np.isnan(metrics.auroc(np.eye(3)[:2], [1, 1]))
        assert np.isnan(metrics.average_precision([0.1, 0.2], [0, 0]))


def test_infinite_scores_tie_as_others_do():
    scores, labels = binary(8, 40)
    clipped = np.clip(scores, -0.5, 0.5)
    infinite = np.where(np.abs(clipped) < 0.5, scores, np.inf * scores)
    for of in (metrics.auroc, metrics.average_precision):
        assert of(infinite, labels) == of(clipped, labels)


def test_masks_leave_examples_out():
    scores, labels = binary(4)
    mask = np.random.default_rng(4).random(300) < 0.5
    hidden = np.where(mask, scores, np.nan)
    for of in (metrics.auroc, metrics.average_precision):
        assert of(hidden, labels, np.float32(mask)) == of(scores[mask], labels[mask])


@pytest.mark.parametrize("rule", ["youden", "f1"])
@pytest.mark.parametrize("ties", [False, True])
def test_a_threshold_is_the_best_of_all(rule, ties):
    scores, labels = binary(5, 60, ties=ties)
    found = metrics.choose_threshold(scores, labels, rule=rule)

    def value(threshold):
        called = scores >= threshold
        if rule == "f1":
            return sk.f1_score(labels, called, zero_division=0)
        return sk.balanced_accuracy_score(labels, called)

    best = max(value(t) for t in np.unique(scores))
    assert value(found.value) == pytest.approx(best)
    check(found, scores, labels)


def check(found, scores, labels):
    """Asserts that a threshold gives what it says, by scikit-learn."""
    called = scores >= found.value
    got = (
        sk.recall_score(labels, called),
        sk.recall_score(labels, called, pos_label=0),
        sk.precision_score(labels, called, zero_division=np.nan),
    )
    np.testing.assert_allclose(found[1:], got, rtol=1e-12)


@pytest.mark.parametrize("wish", [0.5, 0.9, 1])
def test_a_wished_value_is_reached_and_no_more_than_needed(wish):
    scores, labels = binary(6, ties=True)
    recall = metrics.choose_threshold(scores, labels, rule="recall", at_least=wish)
    assert recall.recall >= wish
    check(recall, scores, labels)
    higher = scores > recall.value
    assert sk.recall_score(labels, higher) < wish
    spec = metrics.choose_threshold(scores, labels, rule="specificity", at_least=wish)
    assert spec.specificity >= wish
    lower = scores >= scores[scores < spec.value].max()
    assert sk.recall_score(labels, lower, pos_label=0) < wish


def test_a_wished_precision():
    scores, labels = binary(7, 60)
    found = metrics.choose_threshold(scores, labels, rule="precision", at_least=0.6)
    check(found, scores, labels)
    assert found.precision >= 0.6
    for t in np.unique(scores):
        called = scores >= t
        if sk.precision_score(labels, called) >= 0.6:
            assert sk.recall_score(labels, called) <= found.recall
    with pytest.raises(ValueError, match=r"precision of 0.9; the best is 0.5000"):
        metrics.choose_threshold(
            [0.2, 0.2, 0.1], [0, 1, 0], rule="precision", at_least=0.9
        )


S, L = [0.1, 0.9], [0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.auroc(S, [0, 1, 1]), r"scores \(2,\) and labels \(3,\)"),
        (lambda: metrics.auroc(S, [0.0, 1.0]), "integer class indices, not float64"),
        (lambda: metrics.auroc(S, [0, 2]), r"in \[0, 2\), got 0 to 2"),
        (lambda: metrics.auroc([0.1, np.nan], L), "scores hold nan"),
        (lambda: metrics.auroc(S, L, [1, 1, 1]), r"mask \(3,\) and labels \(2,\)"),
        (lambda: metrics.auroc(S, L, [0, 0]), "no example counts"),
        (lambda: metrics.auroc(S, L, multi_class="ovn"), "multi_class='ovn' is unkno"),
        (lambda: metrics.auroc(S, L, average="marco"), "Did you mean 'macro'"),
        (
            lambda: metrics.auroc(
                np.eye(3), [0, 1, 2], multi_class="ovo", average=None
            ),
            "average=None is for multi_class='ovr'",
        ),
        (lambda: metrics.average_precision(S, L, average="x"), "average='x' is unkn"),
        (lambda: metrics.roc_curve(S, [1, 1]), "both classes, got only class 1"),
        (lambda: metrics.roc_curve(np.eye(2), L), r"\[n\], got shape \(2, 2\)"),
        (lambda: metrics.precision_recall_curve(S, [0, 0]), "got only class 0"),
        (
            lambda: metrics.choose_threshold(S, L, rule="yuden"),
            r"rule='yuden' is unknown. Did you mean 'youden'\?",
        ),
        (lambda: metrics.choose_threshold(S, L, rule="recall"), "at_least=None"),
        (lambda: metrics.choose_threshold(S, L, at_least=0.9), "at_least=0.9"),
        (
            lambda: metrics.choose_threshold(S, L, rule="recall", at_least=1.5),
            "at_least must be between 0 and 1, got 1.5",
        ),
        (lambda: metrics.choose_threshold(S, [1, 1]), r"both classes.*\[1\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
