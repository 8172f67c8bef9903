import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from jaxcnn.data import load_source

CIFAR10 = {
    "data_batch_1": 0,
    "data_batch_2": 1,
    "data_batch_3": 2,
    "data_batch_4": 3,
    "data_batch_5": 4,
    "test_batch": 5,
}


def _rows(seed, n=2):
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), np.uint8)


def _binary(rows, *labels):
    columns = [np.asarray(column, np.uint8)[:, None] for column in labels]
    return np.concatenate([*columns, rows], axis=1).tobytes()


class _PythonTwoPickler(pickle._Pickler):
    """Writes bytes and text as Python 2 wrote its strings: the published files."""

    def _save_string(self, value):
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: _save_string, str: _save_string}


def _python_two(value):
    buffer = io.BytesIO()
    _PythonTwoPickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"numpy._core", b"numpy.core")


def _python_three(value):
    return pickle.dumps(value, protocol=2)


@pytest.fixture
def cifar10_bin(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, seed in CIFAR10.items():
        labels = [seed, 9 - seed]
        (folder / f"{name}.bin").write_bytes(_binary(_rows(seed), labels))
    return folder


def _check_cifar10(source):
    expected = np.concatenate([_rows(seed) for seed in range(5)])
    assert source.image_shape == (32, 32, 3)
    # Row 3, column 7: red, green and blue are 1,024 values apart.
    at = 3 * 32 + 7
    pixels = expected[:, [at, 1024 + at, 2048 + at]]
    np.testing.assert_array_equal(source.images[:, 3, 7], pixels)
    assert source.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert source.class_names[9] == "truck"


def test_binary_version(cifar10_bin, tmp_path):
    _check_cifar10(load_source(f"cifar10:{cifar10_bin}"))
    _check_cifar10(load_source("cifar10", data_dir=tmp_path))
    test = load_source("cifar10", "test", data_dir=cifar10_bin)
    assert test.labels.tolist() == [5, 4]


def test_batches_gzipped_one_by_one(cifar10_bin):
    for path in list(cifar10_bin.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    _check_cifar10(load_source(f"cifar10:{cifar10_bin}"))


def test_an_unpacked_batch_comes_before_its_gzipped_twin(cifar10_bin):
    (cifar10_bin / "data_batch_1.bin.gz").write_bytes(gzip.compress(b"another file"))
    _check_cifar10(load_source(f"cifar10:{cifar10_bin}"))


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archives(cifar10_bin, tmp_path, mode):
    home = tmp_path / "downloads"
    home.mkdir()
    path = home / "cifar-10-binary.tar.gz"
    with tarfile.open(path, mode) as archive:
        archive.add(cifar10_bin, arcname="cifar-10-batches-bin")
    _check_cifar10(load_source(f"cifar10:{path}"))
    _check_cifar10(load_source("cifar10", data_dir=home))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        ValueError, match=r"binary.tar.gz' is damaged(: bad gzip| or no tar)"
    ):
        load_source(f"cifar10:{path}")


@pytest.mark.parametrize("write", [_python_two, _python_three])
def test_python_version(tmp_path, write):
    for name, seed in CIFAR10.items():
        content = {
            b"batch_label": b"training batch",
            b"labels": [seed, 9 - seed],
            b"data": _rows(seed),
            b"filenames": [b"a.png", b"b.png"],
        }
        (tmp_path / name).write_bytes(write(content))
    names = [f"kind{i}".encode() for i in range(9)] + [b"truck"]
    (tmp_path / "batches.meta").write_bytes(write({b"label_names": names}))
    source = load_source(f"cifar10:{tmp_path}")
    _check_cifar10(source)
    assert source.class_names[0] == "kind0"


@pytest.mark.parametrize(
    ("name", "expected", "first_class"),
    [("cifar100", [7, 42], "fine0"), ("cifar100_coarse", [3, 19], "coarse0")],
)
def test_cifar100_has_two_kinds_of_labels(tmp_path, name, expected, first_class):
    binary, python = tmp_path / "bin", tmp_path / "py"
    binary.mkdir()
    python.mkdir()
    (binary / "train.bin").write_bytes(_binary(_rows(0), [3, 19], [7, 42]))
    pickled = {
        "data": _rows(0),
        "coarse_labels": [3, 19],
        "fine_labels": [7, 42],
    }
    meta = {
        f"{kind}_label_names": [f"{kind}{i}" for i in range(n)]
        for kind, n in (("fine", 100), ("coarse", 20))
    }
    for kind in ("fine", "coarse"):
        lines = "\n".join(meta[f"{kind}_label_names"]) + "\n"
        (binary / f"{kind}_label_names.txt").write_text(lines)
    (python / "train").write_bytes(_python_two(pickled))
    (python / "meta").write_bytes(_python_two(meta))
    sources = [load_source(f"{name}:{folder}") for folder in (binary, python)]
    assert sources[0].fingerprint() == sources[1].fingerprint()
    assert sources[0].labels.tolist() == expected
    assert sources[0].class_names[0] == first_class


def test_a_truncated_binary_batch_is_named(cifar10_bin):
    path = cifar10_bin / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError,
        match=r"batch_3.bin' is damaged: it holds 6,145 bytes, .* of 3,073 \(1 for",
    ):
        load_source(f"cifar10:{cifar10_bin}")


def test_an_absent_batch_is_named(cifar10_bin, tmp_path):
    (cifar10_bin / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match="has no file 'data_batch_3' or 'data"):
        load_source(f"cifar10:{cifar10_bin}")
    with pytest.raises(
        FileNotFoundError, match=r"no cifar10 files in '.*/x'; expected"
    ):
        load_source(f"cifar10:{tmp_path}/x")
    with pytest.raises(ValueError, match="'cifar10' has no split 'validation'"):
        load_source(f"cifar10:{cifar10_bin}", "validation")


class _Evil:
    def __reduce__(self):
        return (print, ("a pickle ran code",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            pickle.dumps({"data": _Evil()}),
            r"unpickled safely \(it asks for builtins.prin",
        ),
        (_python_two({"data": _rows(0)})[:-100], "test_batch' is damaged or no CIFAR"),
        (b"", "test_batch' is damaged or no CIFAR"),
        (_python_two([1]), "test_batch' is damaged or no CIFAR"),
        (
            _python_two({"data": _rows(0), "labels": [1]}),
            r"batch' is damaged: expected 'data' as uint8 \[n, 3072\] and n 'labels', "
            "found data, labels",
        ),
        (_python_two({"labels": [1]}), "is damaged: expected 'data'"),
    ],
)
def test_damaged_and_foreign_pickles_are_refused(tmp_path, capsys, content, message):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_source(f"cifar10:{tmp_path}", "test")
    assert "ran code" not in capsys.readouterr().out
