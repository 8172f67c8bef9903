"""Pairs of overlapping digits."""

import dataclasses

import numpy as np
import pytest

from jaxcnn.data import OverlappingPairs, Source, load_source


@pytest.fixture(scope="module")
def digits():
    return load_source("digits", "test[:60]")


def test_a_pair_depends_on_seed_and_number_alone(digits):
    pairs = OverlappingPairs(digits, batch_size=6, seed=3)
    whole, part = pairs[2], pairs.take(14, 2)
    for name, rows in part.items():
        np.testing.assert_array_equal(rows, whole[name][2:4])
    other = OverlappingPairs(digits, batch_size=6, seed=4)[2]
    assert not np.array_equal(other["image"], whole["image"])
    assert not np.array_equal(pairs[3]["image"], whole["image"])


def test_classes_differ_and_the_image_is_the_sum(digits):
    batch = OverlappingPairs(digits, batch_size=50)[0]
    assert (batch["label"][:, 0] != batch["label"][:, 1]).all()
    assert len(np.unique(batch["label"])) == 10
    total = batch["target"].astype(int).sum(axis=1)
    np.testing.assert_array_equal(batch["image"], np.minimum(total, 255))
    assert (total > 255).any()


def test_digits_are_whole_and_moved_by_up_to_four_pixels():
    # A single white pixel in the middle of 3x3 shows where the digit went.
    images = np.zeros((2, 3, 3, 1), np.uint8)
    images[:, 1, 1] = 255
    source = Source("dots", images, np.array([0, 1]), ("a", "b"))
    batch = OverlappingPairs(source, batch_size=400)[0]
    assert batch["target"].shape == (400, 2, 11, 11, 1)
    assert (batch["target"].sum(axis=(2, 3, 4)) == 255).all()
    rows, columns = np.nonzero(batch["target"][..., 0].any(axis=(0, 1)))
    assert set(rows) == set(columns) == set(range(1, 10))


def test_the_source_to_evaluate_on(digits):
    pairs = OverlappingPairs(digits, batch_size=4, seed=1)
    source = pairs.to_source(10)
    assert (len(source), source.image_shape) == (10, (36, 36, 1))
    batch = source.batch(np.arange(4))
    for name, rows in pairs[0].items():
        np.testing.assert_array_equal(batch[name], rows)


def test_steps(digits):
    pairs = OverlappingPairs(digits, batch_size=50)
    assert pairs.steps_per_epoch == 1
    with pytest.raises(ValueError, match="batch number is -1"):
        pairs[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None, "class_names": ()}, "must have labels of two classes"),
        ({"labels": np.zeros(60, int)}, "must have labels of two classes"),
        ({"images": np.zeros((60, 4, 4, 1), np.float32)}, "uint8, not float32"),
    ],
)
def test_a_source_that_does_not_do(digits, change, message):
    with pytest.raises(ValueError, match=message):
        OverlappingPairs(dataclasses.replace(digits, **change))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_shift": -1}])
def test_bad_numbers(digits, options):
    with pytest.raises(ValueError, match="batch_size must be 1 or more and max_shift"):
        OverlappingPairs(digits, **options)
