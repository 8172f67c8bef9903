import numpy as np
import pytest

from jaxcnn.data import Source, carve_validation
from jaxcnn.data.splits import parse_split


@pytest.mark.parametrize(
    ("text", "base", "bounds"),
    [
        ("train", "train", (0, 1000)),
        ("val", "validation", (0, 1000)),
        ("train[:10%]", "train", (0, 100)),
        ("train[500:1000]", "train", (500, 1000)),
        ("test[-10%:]", "test", (900, 1000)),
        ("test[-30:-10]", "test", (970, 990)),
        ("train[25%:50%]", "train", (250, 500)),
        ("train[:]", "train", (0, 1000)),
    ],
)
def test_slices_mean_what_tfds_means(text, base, bounds):
    split = parse_split(text)
    assert split.base == base
    assert split.bounds(1000) == bounds


def test_shares_tile_a_split_without_gap_or_overlap():
    n = 1797
    ends = [parse_split(f"train[{p}%:{p + 7}%]").bounds(n) for p in range(0, 98, 7)]
    assert [stop for _, stop in ends[:-1]] == [start for start, _ in ends[1:]]


@pytest.mark.parametrize("text", ["train[10]", "train[:10", "", "a+b", "train[:1.5%]"])
def test_a_malformed_split_is_refused(text):
    with pytest.raises(ValueError, match="is not understood; write a name or a slice"):
        parse_split(text)


@pytest.mark.parametrize("text", ["t[:11]", "t[-11:]", "t[:101%]"])
def test_a_bound_beyond_the_data_is_refused(text):
    with pytest.raises(ValueError, match="but 't' has 10 examples"):
        parse_split(text).bounds(10)


@pytest.mark.parametrize("text", ["t[5:5]", "t[6:5]", "t[:1%]"])
def test_an_empty_slice_is_refused(text):
    with pytest.raises(ValueError, match="is empty: it has 10 examples"):
        parse_split(text).bounds(10)


@pytest.fixture
def uneven():
    """60 examples of class 0, 30 of class 1, 10 of class 2; image i is i."""
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    return Source("uneven", images, labels, ("a", "b", "c"))


@pytest.mark.parametrize("size", [0.1, 10])
def test_carving_is_stratified_disjoint_and_complete(uneven, size):
    train, validation = carve_validation(uneven, size, seed=3)
    assert np.bincount(validation.labels).tolist() == [6, 3, 1]
    ours, theirs = (set(part.images.ravel().tolist()) for part in (train, validation))
    assert not ours & theirs
    assert len(ours | theirs) == 100
    assert (train.split, validation.split) == ("train", "validation")
    assert (np.diff(train.images.ravel().astype(int)) > 0).all()


def test_carving_depends_on_the_seed_alone(uneven):
    one, again, other = (
        carve_validation(uneven, 0.2, seed)[1].images.ravel() for seed in (0, 0, 1)
    )
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_every_class_keeps_a_training_example(uneven):
    train, validation = carve_validation(uneven, 97)
    assert np.bincount(train.labels).tolist() == [1, 1, 1]
    assert len(validation) == 97


def test_a_class_of_one_stays_in_training(make_source):
    source = make_source(labels=np.array([0] * 9 + [1]))
    for seed in range(20):
        assert 1 in carve_validation(source, 5, seed)[0].labels


def test_shares_are_nearest_whole_numbers_for_any_size(uneven):
    for count in range(1, 90):
        _, validation = carve_validation(uneven, count)
        got = np.bincount(validation.labels, minlength=3)
        assert got.sum() == count
        assert (abs(got - np.array([60, 30, 10]) * count / 100) < 1).all()


def test_carving_works_without_labels(make_source):
    train, validation = carve_validation(make_source(labels=None), 3)
    assert (len(train), len(validation)) == (7, 3)


@pytest.mark.parametrize("size", [0, 1.0, -1, 10, 0.01, 1.5, True, float("nan")])
def test_silly_sizes_are_refused(make_source, size):
    with pytest.raises(ValueError, match=r"validation size is .*, expected a share"):
        carve_validation(make_source(), size)


def test_carving_a_whole_class_is_refused(make_source):
    with pytest.raises(ValueError, match="leaves a class without training examples"):
        carve_validation(make_source(), 9)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, True])
def test_bad_seeds_are_refused(make_source, seed):
    with pytest.raises(ValueError, match=r"seed is .*, expected an integer from 0"):
        carve_validation(make_source(), 2, seed)
