import numpy as np
import pytest

from jaxcnn.data import TrainData, from_arrays
from jaxcnn.data.sampling import class_draws, sampled_order

RARE = np.array([0] * 90 + [1] * 9 + [2])


def source(labels=RARE):
    images = np.arange(len(labels) * 4, dtype=np.uint32).reshape(-1, 2, 2, 1) % 251
    return from_arrays(images.astype(np.uint8), labels, class_names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("sampling", "draws", "expected"),
    [
        ("balanced", 99, [33, 33, 33]),
        ("balanced", 100, [34, 33, 33]),
        ("uniform", 100, [90, 9, 1]),
        # sqrt 90 : 3 : 1 = 9.487 : 3 : 1, of 100: 70.33, 22.25, 7.41.
        ("sqrt", 100, [70, 22, 8]),
        ("balanced", 2, [1, 1, 0]),
    ],
)
def test_draws_by_hand(sampling, draws, expected):
    assert class_draws([90, 9, 1], draws, sampling).tolist() == expected


@pytest.mark.parametrize("sampling", ["balanced", "sqrt", "uniform"])
def test_no_example_is_ever_drawn_two_times_more_than_another_of_its_class(sampling):
    counts = np.zeros(100, int)
    for epoch in range(7):
        order = sampled_order(RARE, 96, sampling, 3, epoch)
        drawn = np.bincount(RARE[order], minlength=3)
        assert drawn.tolist() == class_draws([90, 9, 1], 96, sampling).tolist()
        counts += np.bincount(order, minlength=100)
        for label in range(3):
            own = counts[label == RARE]
            assert own.max() - own.min() <= 1
    assert counts.min() >= 1


def test_a_class_that_is_missing_is_not_drawn():
    labels = np.array([0] * 6 + [2] * 3)
    order = sampled_order(labels, 8, "balanced", 0, 0)
    assert np.bincount(labels[order]).tolist() == [4, 0, 4]


def test_batches_depend_on_the_seed_and_their_number_alone():
    data = TrainData(source(), 32, seed=5, sampling="balanced")
    assert data.steps_per_epoch == 3
    forward = [data[k]["label"] for k in range(7)]
    again = TrainData(source(), 32, seed=5, sampling="balanced")
    backward = [again[k]["label"] for k in reversed(range(7))][::-1]
    np.testing.assert_array_equal(forward, backward)
    other = TrainData(source(), 32, seed=6, sampling="balanced")
    assert not np.array_equal(forward, [other[k]["label"] for k in range(7)])
    # The mean over two epochs: 32 of each class an epoch.
    assert np.bincount(np.concatenate(forward[:6])).tolist() == [64, 64, 64]
    # Classes are mixed within an epoch: each batch has all.
    assert min(np.bincount(labels, minlength=3).min() for labels in forward) > 3


def test_processes_share_a_batch():
    whole = TrainData(source(), 32, 1, sampling="sqrt")[4]["image"]
    parts = [
        TrainData(source(), 32, 1, index, 2, sampling="sqrt")[4]["image"]
        for index in range(2)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_uniform_sampling_is_the_plain_order():
    one, two = (
        TrainData(source(), 10, 2),
        TrainData(source(), 10, 2, sampling="uniform"),
    )
    np.testing.assert_array_equal(one[13]["image"], two[13]["image"])
    # Known before there was sampling: the order of a seed must not change.
    assert (
        one._epoch_order(0)[:5].tolist()
        == np.random.Generator(
            np.random.Philox(
                key=np.array([2, 0], np.uint64), counter=np.zeros(4, np.uint64)
            )
        )
        .permutation(100)[:5]
        .tolist()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "balance"}, "sampling='balance' is unknown. Did you mean 'balan"),
        ({"sampling": "sqrt", "shuffle": False}, "shuffle=False allows 'uniform'"),
    ],
)
def test_bad_sampling(options, message):
    with pytest.raises(ValueError, match=message):
        TrainData(source(), 10, **options)


def test_sampling_by_class_needs_labels():
    images = np.arange(16, dtype=np.uint8).reshape(4, 2, 2, 1)
    with pytest.raises(ValueError, match="'balanced' needs labels, and there are none"):
        TrainData(from_arrays(images), 2, sampling="balanced")
