import numpy as np
import pytest

from jaxcnn.data import from_arrays, load_source


@pytest.fixture
def images():
    return np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4, 1)


def test_arrays_and_their_class_names(images):
    source = from_arrays(images, [0, 1, 2, 0, 1, 2])
    assert source.class_names == ("0", "1", "2")
    assert source.labels.dtype == np.int32
    named = from_arrays(images, [0, 1] * 3, ["a", "b", "c"], name="mine", split="test")
    assert (named.num_classes, named.name, named.split) == (3, "mine", "test")
    assert from_arrays(images).num_classes == 0


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_float32(images, dtype):
    source = from_arrays((images / 255).astype(dtype))
    assert source.images.dtype == np.float32


@pytest.mark.parametrize(
    "labels", [np.array([[0], [1]] * 3, np.uint8), np.array([False, True] * 3)]
)
def test_columns_and_booleans_are_labels(images, labels):
    assert from_arrays(images, labels).labels.tolist() == [0, 1] * 3


def test_one_hot_labels_are_refused_with_the_cure(images):
    with pytest.raises(ValueError, match=r"shape \[6, 2\].*pass labels.argmax\(axis=1"):
        from_arrays(images, np.eye(2)[[0, 1] * 3])


def test_arrays_are_validated(images):
    with pytest.raises(ValueError, match="holds one class only, '1'"):
        from_arrays(images, np.ones(6, int))
    with pytest.raises(ValueError, match="are constant"):
        from_arrays(np.zeros_like(images))


def test_floats_up_to_255_cause_a_warning(images):
    with pytest.warns(UserWarning, match="floats from 0 to 95; models expect 0 to 1"):
        from_arrays(images.astype(np.float32))
    from_arrays(images.astype(np.float32) / 50 - 1)  # standardised: no warning


@pytest.fixture
def npz(tmp_path, images):
    """A file as MedMNIST writes them; its validation part lacks the last class."""
    path = tmp_path / "data.npz"
    np.savez(
        path,
        train_images=images,
        train_labels=np.array([[0], [1], [2]] * 2),
        val_images=images[:2],
        val_labels=np.array([[0], [1]]),
    )
    return path


def test_npz_as_medmnist_has_it(npz):
    train, val = (load_source(f"npz:{npz}", split) for split in ("train", "val[:2]"))
    assert (len(train), len(val)) == (6, 2)
    assert val.class_names == train.class_names == ("0", "1", "2")
    assert val.labels.tolist() == [0, 1]
    assert val.split == "val[:2]"
    with pytest.raises(ValueError, match=r"'test'\. It has 'train', 'validation'"):
        load_source(f"npz:{npz}", "test")


@pytest.mark.parametrize("prefix", ["x_train y_train", "images labels"])
def test_npz_of_other_makers(tmp_path, images, prefix):
    image, label = prefix.split()
    path = tmp_path / "data.npz"
    arrays = {image: images, label: np.array([0, 1] * 3), "class_names": ["a", "b"]}
    np.savez(path, **arrays)
    source = load_source(f"npz:{path}")
    assert source.class_names == ("a", "b")
    np.testing.assert_array_equal(source.images, images)


def test_npz_without_labels(tmp_path, images):
    np.savez(tmp_path / "x.npz", train_images=images, class_names=["a"])
    assert load_source(f"npz:{tmp_path}/x.npz").labels is None


def test_npz_of_sequences_says_its_rank(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 30, 2))
    arrays = {"images": 100 + values, "labels": np.arange(6) % 2}
    path = tmp_path / "x.npz"
    np.savez(path, **arrays, rank=1)
    source = load_source(f"npz:{path}")
    assert (source.kind, source.image_shape) == ("sequences", (30, 2))
    np.savez(path, **arrays, rank=[1, 2])
    with pytest.raises(
        ValueError, match=r"rank of .* one whole number, got int64\[2\]"
    ):
        load_source(f"npz:{path}")


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b"not a zip file",
        lambda b: b[:150] + bytes([b[150] ^ 255]) + b[151:],
    ],
    ids=["truncated", "empty", "foreign", "flipped"],
)
def test_a_damaged_npz_is_named(npz, change):
    npz.write_bytes(change(npz.read_bytes()))
    with pytest.raises(ValueError, match=r"data.npz' is damaged or no .npz file \("):
        load_source(f"npz:{npz}")


def test_npz_errors_say_what_is_there(tmp_path, images):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*/none.npz'"):
        load_source(f"npz:{tmp_path}/none.npz")
    np.savez(tmp_path / "a.npz", pictures=images)
    with pytest.raises(ValueError, match="holds pictures; expected train_images and"):
        load_source(f"npz:{tmp_path}/a.npz")
    np.savez(tmp_path / "b.npz", train_images=np.array([{}, {}], dtype=object))
    with pytest.raises(ValueError, match="array 'train_images': Object arrays cannot"):
        load_source(f"npz:{tmp_path}/b.npz")
