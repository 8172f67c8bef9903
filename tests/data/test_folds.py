import numpy as np
import pytest

from jaxcnn.data import Fold, from_arrays, load_source, stratified_folds

LABELS = np.repeat([0, 1, 2, 5], [31, 7, 5, 12])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_disjoint_complete_and_stratified(folds):
    parts = stratified_folds(LABELS, folds, seed=4)
    assert len(parts) == folds
    np.testing.assert_array_equal(
        np.sort(np.concatenate(parts)), np.arange(len(LABELS))
    )
    counts = np.array([np.bincount(LABELS[part], minlength=6) for part in parts])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    sizes = counts.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_the_seed_chooses_the_folds():
    one, same, other = (stratified_folds(LABELS, 3, seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


def test_a_fold_parts_a_source():
    images = np.arange(len(LABELS) * 4).reshape(-1, 2, 2, 1).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(len(LABELS))
    source = from_arrays(images, LABELS, class_names=list("abcdef"))
    seen = []
    for number in (1, 2, 3):
        fold = Fold(number, 3, seed=9)
        train, validation = fold.part(source)
        assert validation.split == "validation"
        own = validation.images[:, 0, 0, 0]
        np.testing.assert_array_equal(own, fold.positions(source))
        assert set(own) | set(train.images[:, 0, 0, 0]) == set(range(len(LABELS)))
        assert len(own) + len(train) == len(LABELS)
        seen += own.tolist()
    assert sorted(seen) == list(range(len(LABELS)))


def test_a_source_without_labels_has_folds_too():
    images = np.arange(28, dtype=np.uint8).reshape(7, 2, 2, 1)
    sizes = [len(Fold(k, 3).part(from_arrays(images))[1]) for k in (1, 2, 3)]
    assert sizes == [3, 2, 2]


def test_a_fold_is_a_validation_part_by_name():
    whole = load_source("digits", "train")
    fold = Fold(2, 5)
    train = load_source("digits", "train", validation=fold)
    validation = load_source("digits", "validation", validation=fold)
    assert len(train) + len(validation) == len(whole)
    np.testing.assert_array_equal(
        validation.images, whole.images[fold.positions(whole)]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stratified_folds(LABELS, 1), "folds is 1, expected a whole number fr"),
        (lambda: stratified_folds(LABELS, 6), "folds is 6, but class 2 has 5 examples"),
        (lambda: stratified_folds(np.array([], int), 2), "there are 0 examples"),
        (lambda: stratified_folds(LABELS, 2.5), "folds is 2.5, expected a whole"),
        (lambda: Fold(0, 5), "fold is 0, expected a whole number from 1"),
        (lambda: Fold(6, 5), "fold is 6, expected 1 to 5"),
    ],
)
def test_bad_folds(call, message):
    with pytest.raises(ValueError, match=message):
        call()
