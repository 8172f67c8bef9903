import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from sklearn import metrics as sk

from jaxcnn import metrics
from jaxcnn.metrics import ConfusionMatrix
from jaxcnn.train import make_mesh

CLASSES = 4


def cases():
    """Yields labels and predictions: at random, with absent classes, and of one."""
    rng = np.random.default_rng(0)
    for n in (1, 7, 200):
        yield rng.integers(0, CLASSES, n), rng.integers(0, CLASSES, n)
    # Class 3 neither occurs nor is predicted, 2 is only predicted, 0 only occurs.
    yield rng.integers(0, 2, 50), rng.integers(1, 3, 50)
    yield np.full(5, 1), np.full(5, 1)
    yield np.full(5, 1), np.full(5, 2)


CASES = list(cases())


@pytest.fixture(params=range(len(CASES)))
def case(request):
    labels, predicted = CASES[request.param]
    return labels, predicted, ConfusionMatrix.of(predicted, labels, CLASSES).counts


def test_the_counts_are_those_of_scikit_learn(case):
    labels, predicted, counts = case
    expected = sk.confusion_matrix(labels, predicted, labels=range(CLASSES))
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_precision_recall_and_f_are_those_of_scikit_learn(case, average, zero_division):
    labels, predicted, counts = case
    options = {"average": average, "zero_division": zero_division}
    for beta in (1.0, 0.5, 2.0):
        *expected, _ = sk.precision_recall_fscore_support(
            labels, predicted, labels=range(CLASSES), beta=beta, **options
        )
        got = [
            metrics.precision(counts, **options),
            metrics.recall(counts, **options),
            metrics.f_score(counts, beta=beta, **options),
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        metrics.f1(counts, **options), metrics.f_score(counts, **options)
    )


@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
def test_specificity_is_the_recall_of_the_other_class(case, zero_division):
    labels, predicted, counts = case
    expected = [
        sk.recall_score(labels == k, predicted == k, pos_label=False, zero_division=z)
        for k in range(CLASSES)
        for z in [zero_division]
    ]
    got = metrics.specificity(counts, zero_division=zero_division)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    means = expected if np.isnan(expected).all() else np.nanmean(expected)
    macro = metrics.specificity(counts, "macro", zero_division=zero_division)
    np.testing.assert_allclose(macro, np.mean(means), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accuracies_are_those_of_scikit_learn(case):
    labels, predicted, counts = case
    np.testing.assert_allclose(
        metrics.accuracy(counts), sk.accuracy_score(labels, predicted), rtol=1e-12
    )
    np.testing.assert_allclose(
        metrics.balanced_accuracy(np.asarray(counts)),
        sk.balanced_accuracy_score(labels, predicted),
        rtol=1e-12,
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_agreement_is_that_of_scikit_learn(case):
    labels, predicted, counts = case
    expected = sk.matthews_corrcoef(labels, predicted)
    np.testing.assert_allclose(
        metrics.matthews_correlation(counts), expected, rtol=1e-12, atol=1e-15
    )
    for weights in (None, "linear", "quadratic"):
        expected = sk.cohen_kappa_score(
            labels, predicted, weights=weights, labels=range(CLASSES)
        )
        got = metrics.cohen_kappa(counts, weights)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def test_quadratic_kappa_by_hand():
    # One of ten grades missed by one, one by two: 1 - (1 + 4) / expected.
    counts = np.array([[3, 1, 0], [0, 3, 0], [1, 0, 2]])
    expected = sum(
        (i - j) ** 2 * counts[i].sum() * counts[:, j].sum() / 10
        for i in range(3)
        for j in range(3)
    )
    assert metrics.cohen_kappa(counts, "quadratic") == pytest.approx(1 - 5 / expected)


def test_batches_under_masks_add_up_inside_jit():
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, CLASSES, (2, 37))
    whole = ConfusionMatrix.of(predicted, labels, CLASSES)

    @jax.jit
    def step(total, predicted, labels, mask):
        return total + ConfusionMatrix.of(predicted, labels, CLASSES, mask)

    total = ConfusionMatrix.empty(CLASSES)
    for start in range(0, 37, 8):
        rows = np.minimum(np.arange(start, start + 8), 36)
        mask = np.float32(np.arange(start, start + 8) < 37)
        total = step(total, predicted[rows], labels[rows], mask)
    assert total.counts.dtype == jnp.int32
    np.testing.assert_array_equal(total.counts, whole.counts)


def test_devices_add_up():
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, CLASSES, (2, 64))
    mask = np.float32(rng.random(64) < 0.7)
    of = functools.partial(ConfusionMatrix.of, classes=CLASSES)
    whole = of(predicted, labels, mask=mask)
    mesh = make_mesh()
    assert mesh.size == 8
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    spread = [jax.device_put(x, split) for x in (predicted, labels, mask)]
    over_mesh = jax.jit(lambda p, y, m: of(p, y, mask=m))(*spread)
    np.testing.assert_array_equal(over_mesh.counts, whole.counts)
    mapped = jax.pmap(
        lambda p, y, m: jax.lax.psum(of(p, y, mask=m), "batch"), axis_name="batch"
    )
    parts = mapped(*(x.reshape(8, -1) for x in (predicted, labels, mask)))
    np.testing.assert_array_equal(parts.counts[0], whole.counts)


def test_what_is_no_class_is_not_counted():
    found = ConfusionMatrix.of(np.array([0, 1, -1, 1]), np.array([0, 2, 0, -1]), 2)
    assert found.counts.tolist() == [[1, 0], [0, 0]]


def test_no_example_at_all():
    nothing = np.zeros((2, 2))
    assert np.isnan(metrics.accuracy(nothing))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metrics.balanced_accuracy(nothing))
        assert metrics.precision(nothing, "weighted", zero_division=1) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.recall(np.eye(2), "marco"),
            r"average='marco' is unknown. Did you mean 'macro'\?",
        ),
        (lambda: metrics.recall(np.ones((2, 3))), r"\[classes, classes\], got .*2, 3"),
        (lambda: metrics.accuracy(-np.eye(2)), "numbers of 0 or more"),
        (lambda: metrics.f1(np.eye(2), zero_division=2), "0, 1 or nan, got 2"),
        (lambda: metrics.f_score(np.eye(2), beta=0), "beta must be .* got 0"),
        (
            lambda: metrics.cohen_kappa(np.eye(2), "quadratc"),
            r"weights='quadratc' is unknown. Did you mean 'quadratic'\?",
        ),
        (lambda: metrics.matthews_correlation(np.ones(3)), "got shape \\(3,\\)"),
        (
            lambda: ConfusionMatrix.of(np.zeros(2), np.zeros(2, int), 2),
            "predicted must be integers, not float",
        ),
        (
            lambda: ConfusionMatrix.of(np.zeros(3, int), np.zeros(2, int), 2),
            r"predicted \(3,\) and labels \(2,\)",
        ),
        (
            lambda: ConfusionMatrix.of(*np.zeros((2, 2), int), 2, np.ones(3)),
            r"mask \(3,\) and labels \(2,\)",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
