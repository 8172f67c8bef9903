import gzip

import numpy as np
import pytest

from jaxcnn.data import load_source
from jaxcnn.data.idx import read_idx


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_read_idx_gives_the_array_back(tmp_path, idx_bytes, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "x").write_bytes(idx_bytes(array))
    got = read_idx(tmp_path / "x")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, array)


def test_a_folder_plain_and_gzipped(idx_folder):
    train = load_source(f"idx:{idx_folder}", "train")
    test = load_source(f"idx:{idx_folder}", "test[1:]")
    assert (len(train), len(test)) == (6, 3)
    assert train.image_shape == (4, 3, 1)
    assert train.images.ravel().tolist() == list(range(72))
    assert test.labels.tolist() == [1, 2, 0]
    assert test.class_names == ("0", "1", "2")
    assert test.split == "test[1:]"


def test_a_known_name_gives_the_class_names(idx_folder):
    source = load_source("fashion_mnist", data_dir=idx_folder)
    assert source.class_names[9] == "Ankle boot"
    assert source.name == "fashion_mnist"
    assert load_source("mnist", data_dir=idx_folder).num_classes == 10


def test_class_names_of_the_users_own(idx_folder):
    names = ["ant", "bee", "cow"]
    source = load_source(f"idx:{idx_folder}", class_names=names)
    assert source.class_names == tuple(names)
    with pytest.raises(ValueError, match=r"class_names has 1 names, but .* 3 classes"):
        load_source(f"idx:{idx_folder}", class_names=["ant"])


def test_names_with_a_dot_or_a_prefix(idx_folder):
    for path in idx_folder.iterdir():
        name = path.name.replace("t10k", "test").replace("-idx", ".idx")
        path.rename(path.with_name(f"emnist-letters-{name}"))
    assert len(load_source(f"idx:{idx_folder}", "test")) == 4


def _damage(change):
    def apply(path):
        path.write_bytes(change(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (
            "train-images-idx3-ubyte",
            _damage(lambda b: b[:-5]),
            r"train-images-idx3-ubyte' is damaged: uint8 of shape \[6, 4, 3\] takes 88 "
            "bytes, the file holds 83",
        ),
        ("train-images-idx3-ubyte", _damage(lambda b: b + b"x"), "the file holds 89"),
        ("train-images-idx3-ubyte", _damage(lambda b: b[:9]), "the file holds 9"),
        (
            "train-labels-idx1-ubyte",
            _damage(lambda b: b"PK\x03\x04" + b),
            r"idx1-ubyte' is not an IDX file: .* '50 4b 03 04', expected '00 00'",
        ),
        ("train-labels-idx1-ubyte", _damage(lambda b: b""), "is not an IDX file"),
        (
            "train-images-idx3-ubyte",
            _damage(lambda b: gzip.compress(b)[:-9]),
            "train-images-idx3-ubyte' is damaged: bad gzip",
        ),
        (
            "train-images-idx3-ubyte",
            _damage(lambda b: gzip.compress(b)[:20] + bytes(9) + gzip.compress(b)[29:]),
            "train-images-idx3-ubyte' is damaged: bad gzip",
        ),
    ],
)
def test_damaged_files_are_named(idx_folder, file, damage, message):
    damage(idx_folder / file)
    with pytest.raises(ValueError, match=message):
        load_source(f"idx:{idx_folder}", "train")


def test_what_is_missing_is_named(idx_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no IDX files in '{tmp_path}/none'"):
        load_source(f"idx:{tmp_path}/none")
    with pytest.raises(FileNotFoundError, match=f"there is no file '{tmp_path}/x'"):
        read_idx(tmp_path / "x")
    with pytest.raises(
        ValueError, match=r"no split 'validation'\. It has 'test', 'train'"
    ):
        load_source(f"idx:{idx_folder}", "validation")
    (idx_folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="ubyte' has no labels file beside it"):
        load_source(f"idx:{idx_folder}", "train")


def test_two_datasets_in_one_folder_are_refused(idx_folder):
    source = idx_folder / "train-images-idx3-ubyte"
    (idx_folder / "other-train-images-idx3-ubyte").write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match="holds several datasets: 'other-train-images"):
        load_source(f"idx:{idx_folder}")


def test_a_gzipped_twin_is_no_second_dataset(idx_folder):
    path = idx_folder / "train-images-idx3-ubyte"
    twin = path.with_name(path.name + ".gz")
    twin.write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_source(f"idx:{idx_folder}")) == 6
