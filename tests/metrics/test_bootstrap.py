import numpy as np
import pytest
from scipy import stats

from jaxcnn.metrics import bootstrap_interval
from jaxcnn.metrics.bootstrap import resampled


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(0).normal(size=200)
    found = bootstrap_interval(np.mean, values, samples=4000, confidence=0.9)
    other = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.value == values.mean()
    # Two draws of 4,000: their quantiles differ by some per cent of the deviation.
    error = values.std() / np.sqrt(200)
    np.testing.assert_allclose(found[1:], (other.low, other.high), atol=0.1 * error)


def test_the_bounds_are_quantiles_of_the_resamples():
    values = np.arange(30.0) ** 2
    means = [values[rows].mean() for rows in resampled(30, 500, seed=3)]
    found = bootstrap_interval(np.mean, values, samples=500, confidence=0.8, seed=3)
    np.testing.assert_allclose(found[1:], np.quantile(means, [0.1, 0.9]), rtol=1e-12)


def test_the_seed_decides():
    values = np.arange(50.0)
    one, same, other = (
        bootstrap_interval(np.mean, values, samples=50, seed=s) for s in (0, 0, 1)
    )
    assert one == same
    assert one.low != other.low


def test_resamples_within_classes_keep_their_sizes():
    classes = np.array([0] * 50 + [1] * 3 + [2])
    for rows in resampled(54, 20, stratify=classes):
        assert np.bincount(classes[rows]).tolist() == [50, 3, 1]
    without = [np.bincount(classes[r], minlength=3)[2] for r in resampled(54, 20)]
    assert len(set(without)) > 1


def test_arrays_of_values_and_those_without_a_number():
    labels = np.array([0] * 9 + [1])

    def shares(y):
        return np.array(
            [(y == 0).mean(), np.nan if not (y == 1).any() else 1.0, np.nan]
        )

    found = bootstrap_interval(shares, labels, samples=100)
    assert found.low[0] < found.value[0] < found.high[0]
    assert (found.low[1], found.high[1]) == (1, 1)
    assert np.isnan([found.low[2], found.high[2]]).all()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([], {}, r"got lengths \[\]"),
        ([[1, 2], [1]], {}, r"got lengths \[2, 1\]"),
        ([[]], {}, r"got lengths \[0\]"),
        ([[1, 2]], {"samples": 0}, "samples must be 1 or more, got 0"),
        ([[1, 2]], {"confidence": 95}, "confidence must be between 0 and 1, got 95"),
        ([[1, 2]], {"stratify": [1]}, r"stratify must be \[2\].*got \(1,\)"),
    ],
)
def test_bad_input(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.mean, *arrays, **options)
