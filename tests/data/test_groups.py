"""Groups stay on one side of every split, and the sizes come near the wish."""

import re

import numpy as np
import pytest

from jaxcnn.data import Fold, carve_validation, from_arrays, grouped_choice
from jaxcnn.data.groups import check_apart, grouped_folds, groups_of, numbered


def patients(seed, count=40):
    """Returns labels and groups: patients with 1 to 9 images of mostly one class."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, count)
    groups = np.repeat(np.arange(count), sizes)
    labels = np.repeat(rng.random(count) < 0.3, sizes).astype(int)
    order = rng.permutation(len(groups))
    return labels[order], groups[order]


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_parted_and_sizes_come_near(seed):
    labels, groups = patients(seed)
    count = round(0.2 * len(labels))
    chosen = grouped_choice(labels, groups, count, seed)
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert abs(chosen.sum() - count) <= 3
    share = labels[chosen].sum() - 0.2 * labels.sum()
    assert abs(share) <= 3
    assert (grouped_choice(labels, groups, count, seed) == chosen).all()
    assert not (grouped_choice(labels, groups, count, seed + 1) == chosen).all()


def test_the_names_of_groups_do_not_matter_but_their_order():
    labels, groups = patients(1)
    chosen = grouped_choice(labels, groups, 30, 0)
    assert (grouped_choice(labels, 10 * groups + 5, 30, 0) == chosen).all()


@pytest.mark.parametrize("seed", range(4))
def test_folds_hold_whole_groups_and_shares_of_the_classes(seed):
    labels, groups = patients(seed, 60)
    folds = grouped_folds(labels, groups, 5, seed)
    assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(len(labels)))
    held = [set(groups[fold]) for fold in folds]
    assert sum(map(len, held)) == 60
    for fold in folds:
        assert abs(len(fold) - len(labels) / 5) < 6
        assert abs(labels[fold].sum() - labels.sum() / 5) < 6


def test_every_fold_has_a_group_even_where_one_is_large():
    groups = np.array([0] * 50 + [1, 2, 3])
    folds = grouped_folds(np.zeros(53, int), groups, 4)
    assert sorted(map(len, folds)) == [1, 1, 1, 50]


@pytest.mark.thorough
def test_folds_are_as_even_as_scikit_learns():
    from sklearn.model_selection import StratifiedGroupKFold

    def spread(labels, parts):
        counts = [np.bincount(labels[part], minlength=2) for part in parts]
        return np.std(counts, axis=0).sum()

    ours, theirs = [], []
    for seed in range(10):
        labels, groups = patients(seed, 60)
        ours.append(spread(labels, grouped_folds(labels, groups, 5, seed)))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        parts = [test for _, test in folds.split(labels, labels, groups)]
        theirs.append(spread(labels, parts))
    assert np.mean(ours) <= np.mean(theirs)


@pytest.mark.parametrize("size", [0.25, Fold(2, 4)])
def test_sources_with_groups_are_parted_by_them(size):
    import dataclasses

    labels, groups = patients(0)
    images = np.tile(np.eye(2, dtype=np.uint8), (len(labels), 1, 1))
    source = dataclasses.replace(from_arrays(images, labels), groups=groups)
    train, held_out = carve_validation(source, size)
    assert not set(train.groups) & set(held_out.groups)
    assert len(train) + len(held_out) == len(labels)
    assert abs(len(held_out) - len(labels) / 4) < 8


def test_groups_are_found_by_a_pattern():
    paths = ["a/p1_0.png", "b/p1_1.png", "a/p22_0.png"]
    assert groups_of(paths, r"p(\d+)_") == ["1", "1", "22"]
    assert groups_of(paths, "^[ab]") == ["a", "b", "a"]
    assert numbered(["z", "a", "z"]).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: groups_of(["a.png"], "(x"), "group is '(x', which is no regular"),
        (lambda: groups_of(["a.png"], "x"), "group 'x' is not found in 'a.png'"),
        (
            lambda: check_apart({"train": ["a", "b"], "test": ["b"]}),
            "group 'b' is in 'train' and in 'test'",
        ),
        (
            lambda: grouped_choice(np.zeros(3, int), np.zeros(3), 1, 0),
            "all examples are of one group",
        ),
        (
            lambda: grouped_choice(np.array([0, 1, 1]), np.array([0, 1, 1]), 1, 0),
            "cannot be set apart in whole groups",
        ),
        (
            lambda: grouped_folds(np.zeros(3, int), np.arange(3), 4),
            "folds is 4, but there are 3 groups",
        ),
    ],
)
def test_what_cannot_be_is_named(act, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        act()
