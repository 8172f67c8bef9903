import jax
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from jaxcnn import metrics
from jaxcnn.metrics import Calibration


def binary(seed, n=500):
    """Returns probabilities and labels, some on the edges of bins, 0 and 1 too."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(n)
    probabilities[:22] = np.repeat(np.linspace(0, 1, 11), 2)
    return probabilities, (rng.random(n) < probabilities**2).astype(int)


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_bins_are_those_of_scikit_learn(bins):
    probabilities, labels = binary(bins)
    hits, confidence = calibration_curve(labels, probabilities, n_bins=bins)
    found = metrics.calibration(probabilities, labels, bins=bins)
    filled = np.asarray(found.count) > 0
    got = [values[filled] for values in found.reliability()]
    np.testing.assert_allclose(got, [confidence, hits], rtol=1e-12)
    shares = np.asarray(found.count)[filled] / len(labels)
    gaps = np.abs(hits - confidence)
    assert found.expected_error() == pytest.approx(shares @ gaps, rel=1e-12)
    assert found.maximum_error() == pytest.approx(gaps.max(), rel=1e-12)


def test_quantile_bins_are_those_of_scikit_learn():
    probabilities, labels = binary(0)
    hits, confidence = calibration_curve(
        labels, probabilities, n_bins=8, strategy="quantile"
    )
    edges = metrics.quantile_edges(probabilities, 8)
    found = Calibration.of(probabilities, labels, edges=edges)
    np.testing.assert_allclose(found.reliability(), [confidence, hits], rtol=1e-12)
    assert metrics.quantile_edges(np.full(9, 0.5), 3).tolist() == [0, 1]


def test_many_classes_count_the_most_probable():
    found = metrics.calibration(
        [[0.7, 0.2, 0.1], [0.3, 0.7, 0], [0, 0.4, 0.6]], [0, 0, 2], bins=2
    )
    assert found.count.tolist() == [0, 3]
    np.testing.assert_allclose(found.confidence, [0, 2.0])
    assert found.hits.tolist() == [0, 2]
    assert found.expected_error() == pytest.approx(0)


@pytest.mark.parametrize("jitted", [False, True])
def test_batches_under_masks_add_up(jitted):
    probabilities, labels = binary(1, 90)
    whole = Calibration.of(probabilities, labels, bins=7)
    of = jax.jit(Calibration.of, static_argnames="bins") if jitted else Calibration.of
    parts = []
    for start in range(0, 90, 40):
        rows = np.minimum(np.arange(start, start + 40), 89)
        mask = np.float32(np.arange(start, start + 40) < 90)
        hidden = np.where(mask > 0, probabilities[rows], np.nan)
        parts.append(of(hidden, labels[rows], mask, bins=7))
    total = parts[0] + parts[1] + parts[2]
    np.testing.assert_array_equal(total.count.sum(), whole.count.sum())
    rtol = 1e-5 if jitted else 1e-12
    # In float32 what stands on an edge may fall to its other side.
    if not jitted:
        np.testing.assert_array_equal(total.count, whole.count)
    np.testing.assert_allclose(total.hits.sum(), whole.hits.sum(), rtol=rtol)
    np.testing.assert_allclose(
        total.confidence.sum(), whole.confidence.sum(), rtol=rtol
    )


def test_nothing_has_no_error():
    nothing = Calibration.of(np.ones(2), np.ones(2), np.zeros(2))
    assert np.isnan(nothing.expected_error())
    assert np.isnan(nothing.maximum_error())


def test_brier_scores_are_those_of_scikit_learn():
    probabilities, labels = binary(2)
    expected = sk.brier_score_loss(labels, probabilities)
    assert metrics.brier_score(probabilities, labels) == pytest.approx(expected)
    pair = np.stack([1 - probabilities, probabilities], axis=1)
    assert metrics.brier_score(pair, labels) == pytest.approx(expected)
    rng = np.random.default_rng(2)
    rows, classes = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    expected = np.square(rows - np.eye(3)[classes]).sum(axis=1)
    mask = rng.random(50) < 0.5
    got = metrics.brier_score(rows, classes, mask)
    assert got == pytest.approx(expected[mask].mean())


P, L = [0.1, 0.9], [0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.calibration([-0.1, 0.5], L), r"in \[0, 1\], got -0.1 to 0.5"),
        (lambda: metrics.brier_score([2.0, 3.0], L), r"in \[0, 1\], got 2 to 3"),
        (lambda: metrics.brier_score(P, [1]), r"probabilities \(2,\) and labels \(1,"),
        (lambda: metrics.calibration(P, L, bins=0), "bins must be .* got 0"),
        (lambda: metrics.quantile_edges([], 3), r"\[n\], got shape \(0,\)"),
        (lambda: Calibration.of(np.ones(2), np.ones(3)), r"got \(2,\), \(3,\)"),
        (
            lambda: Calibration.of(np.ones(2), np.ones(2), edges=[0, 0]),
            "two or more rising numbers",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
