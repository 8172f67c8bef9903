import dataclasses
import math

import numpy as np
import pytest

from jaxcnn.data import Source, noisy
from jaxcnn.data.resize import resized


def test_gray_images_get_a_channel_axis():
    source = Source("gray", np.zeros((3, 4, 5), np.uint8))
    assert source.image_shape == (4, 5, 1)
    assert len(source) == 3
    assert source.num_classes == 0


def test_repr_says_what_it_is_without_the_arrays(make_source):
    assert repr(make_source()) == (
        "Source('tiny', split='train', 10 images 2x2x1 uint8, 2 classes)"
    )


IMAGES = np.zeros((3, 2, 2, 1), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 4))}, r"shape \[3, 4\], expected \[N, height"),
        ({"images": np.zeros((3, 2, 2, 1, 1, 1))}, r"shape .* 1, 1\], expected \[N, h"),
        ({"images": IMAGES, "rank": 1}, r"sequences .*1\], expected \[N, length, chan"),
        (
            {"images": IMAGES[..., 0, 0], "rank": 3},
            r"volumes .*expected \[N, depth, he",
        ),
        ({"rank": 4}, "rank of 'bad' is 4, expected the number of spatial axes: 1 for"),
        ({"images": np.zeros((3, 2, 2), np.int64)}, "are int64, expected uint8"),
        ({"images": IMAGES[:0]}, r"split 'train' of 'bad' is empty: .*\[0, 2, 2, 1\]"),
        ({"labels": [0, 1]}, "'bad' has 3 images but 2 labels"),
        ({"labels": [0.0, 1.0, 0.0]}, r"labels of 'bad' are float64\[3\], expected"),
        ({"labels": [[0], [1], [0]]}, r"labels of 'bad' are int64\[3, 1\], expected"),
        ({"labels": [0, 1, 2]}, r"label 2 of example 2 .* its 2 classes \(0 to 1\)"),
        ({"labels": [0, -1, 1]}, "label -1 of example 1 of 'bad' is outside"),
        ({"extras": {"target": np.zeros(2)}}, "3 images but 2 rows of 'target'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    good = {"images": IMAGES, "class_names": ("a", "b")}
    with pytest.raises(ValueError, match=message):
        Source("bad", **{**good, **arguments})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_that_are_not_finite_are_named(bad):
    images = np.random.default_rng(0).random((5000, 2, 2, 1), np.float32)
    images[4999, 1, 0] = bad  # beyond the first chunk
    source = Source("broken", images)
    with pytest.raises(ValueError, match=r"image 4999 .* of 'broken' holds NaN or inf"):
        source.validate()


def test_constant_images_are_refused():
    with pytest.raises(ValueError, match="'flat' are constant: every pixel is 7"):
        Source("flat", np.full((3, 2, 2, 1), 7, np.uint8)).validate()


def test_a_single_class_is_refused(make_source):
    source = make_source(labels=np.ones(10, int))
    with pytest.raises(
        ValueError, match=r"'tiny' holds one class only, 'class1' \(1\)"
    ):
        source.validate()
    unlabelled = dataclasses.replace(source, labels=None)
    assert unlabelled.validate() is unlabelled


def test_arrays_cannot_be_written_through(make_source):
    source = make_source(extras={"target": np.zeros(10)})
    for array in (source.images, source.labels, source.extras["target"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_channel_stats_of_bytes_are_exact():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 3), np.uint8)
    images[..., 2] = 51
    mean, std = Source("bytes", images).channel_stats()
    for c in range(2):
        values = [int(v) for v in images[..., c].ravel()]
        n = len(values)
        exact = n * sum(v * v for v in values) - sum(values) ** 2
        assert mean[c] == pytest.approx(sum(values) / n / 255, rel=1e-15)
        assert std[c] == pytest.approx(math.sqrt(exact) / n / 255, rel=1e-15)
    assert (mean[2], std[2]) == (0.2, 1.0)  # constant: safe to divide by


def test_channel_stats_of_floats_do_not_cancel():
    rng = np.random.default_rng(0)
    images = (1000 + rng.random((5000, 2, 2, 2))).astype(np.float32)
    mean, std = Source("floats", images).channel_stats()
    wide = images.astype(np.float64)
    assert mean == pytest.approx(wide.mean((0, 1, 2)), rel=1e-12)
    assert std == pytest.approx(wide.std((0, 1, 2)), rel=1e-9)


def test_fingerprint_follows_the_content_only(make_source):
    source = make_source()
    same = Source("other", source.images.copy(), source.labels, source.class_names, "x")
    assert same.fingerprint() == source.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"labels": (np.arange(10) + 1) % 2},
        {"labels": None},
        {"class_names": ("class0", "other")},
        {"extras": {"target": np.zeros(10)}},
        {"images": np.zeros((10, 2, 2, 1), np.uint8)},
        {"images": np.zeros((10, 4, 1, 1), np.uint8)},
    ],
)
def test_fingerprint_changes_with_the_content(make_source, change):
    source = make_source()
    changed = dataclasses.replace(source, **change)
    assert changed.fingerprint() != source.fingerprint()


def test_subset_by_integers_booleans_and_slice(make_source):
    source = make_source(extras={"target": np.arange(10)})
    chosen = np.zeros(10, bool)
    chosen[[2, 5]] = True
    for indices, expected in (
        (chosen, [2, 5]),
        ([5, 2], [5, 2]),
        (slice(8, 10), [8, 9]),
    ):
        part = source.subset(indices, split="part")
        assert part.images[:, 0, 0, 0].tolist() == expected
        assert part.labels.tolist() == [i % 2 for i in expected]
        assert part.extras["target"].tolist() == expected
        assert part.split == "part"
    with pytest.raises(ValueError, match="'tiny' is empty"):
        source.subset([])


def test_batch_holds_labels_only_where_there_are_any(make_source):
    batch = make_source(extras={"target": np.arange(10)}).batch(np.array([3, 3]))
    assert set(batch) == {"image", "label", "target"}
    assert batch["label"].dtype == np.int32
    assert batch["target"].tolist() == [3, 3]
    assert set(make_source(labels=None).batch(np.array([0]))) == {"image"}


@pytest.mark.parametrize(
    ("shape", "rank", "image_shape", "text"),
    [
        ((9, 7, 3), 1, (7, 3), "9 sequences 7x3 float32"),
        ((9, 7), 1, (7, 1), "9 sequences 7x1 float32"),
        ((9, 7, 3), None, (7, 3, 1), "9 images 7x3x1 float32"),
        ((9, 4, 5, 6, 2), None, (4, 5, 6, 2), "9 volumes 4x5x6x2 float32"),
        ((9, 4, 5, 6), 3, (4, 5, 6, 1), "9 volumes 4x5x6x1 float32"),
    ],
)
def test_sequences_and_volumes(shape, rank, image_shape, text):
    values = 50 * np.random.default_rng(0).normal(size=shape).astype(np.float32)
    source = Source("signals", values, rank=rank).validate()
    assert source.image_shape == image_shape
    assert text in repr(source)
    mean, std = source.channel_stats()
    channels = source.images.reshape(-1, image_shape[-1])
    np.testing.assert_allclose(mean, channels.mean(0), atol=1e-4)
    np.testing.assert_allclose(std, channels.std(0), rtol=1e-4)
    part = source.subset([2, 0])
    assert (part.rank, part.kind) == (source.rank, source.kind)
    np.testing.assert_array_equal(part.images, source.images[[2, 0]])
    values[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"image 3 of split .* holds NaN"):
        source.validate()


def test_what_is_for_images_alone_says_so():
    source = Source("signals", np.ones((4, 9, 3), np.float32), rank=1)
    with pytest.raises(ValueError, match="image_size is for images; 'signals' holds s"):
        resized(source, (4, 4))
    with pytest.raises(
        ValueError, match=r"noisy takes images.*'signals' holds sequenc"
    ):
        noisy(source, 0.1)
