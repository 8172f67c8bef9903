"""Kinds of files other than PyTorch's, and files of no kind."""

import json
import struct
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxcnn.transfer import weight_file
from jaxcnn.transfer.safetensors import write_safetensors
from jaxcnn.transfer.weight_file import read_weights

ARRAYS = {
    "params/conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([1.5, -2], np.float16),
    "brain": np.array([[1.5], [-2]], ml_dtypes.bfloat16),
    "count": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
}


def check(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_safetensors_round_trip(tmp_path):
    path = tmp_path / "any.name"
    write_safetensors(path, ARRAYS, {"a": "b"})
    found = read_weights(path)
    assert (found.kind, found.config) == ("safetensors", None)
    check(found.arrays, ARRAYS)
    assert list(tmp_path.iterdir()) == [path]


def test_safetensors_cannot_hold_objects(tmp_path):
    with pytest.raises(ValueError, match="'x' is object, which safetensors cannot"):
        write_safetensors(tmp_path / "x", {"x": np.array([None])})
    assert list(tmp_path.iterdir()) == []


def write_header(path, header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def row(**changes):
    return {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (row(data_offsets=[16, 32]), "cut short: 'x' ends at byte 32 of 16"),
        (row(data_offsets=[0, 12]), r"'x' of shape \[4\] in 12 bytes"),
        (row(data_offsets=[-4, 12]), "damaged at 'x'"),
        (row(data_offsets=[0]), "damaged at 'x'"),
        (row(shape=[2**62, 4]), r"of shape \[4611686018427387904, 4\] in 16 bytes"),
        (row(shape=[-4]), "damaged at 'x'"),
        (row(shape=[4.0]), "damaged at 'x'"),
        (row(dtype="F4"), "damaged at 'x'"),
        (row(shape={}, data_offsets=[0, 4]), "damaged at 'x'"),
        (row(shape="", data_offsets=[0, 4]), "damaged at 'x'"),
        (row(shape=[10**4000] * 20_000), "damaged at 'x'"),
        ({**row(), "y": row()["x"]}, "begins at byte 0, where the one before ends at"),
        (row(shape=[3], data_offsets=[4, 16]), "begins at byte 4, where the one"),
        (row(shape=[3], data_offsets=[0, 12]), "speaks of 12 bytes of 16"),
        ({"x": 3}, "damaged at 'x'"),
        ({**row(), "__metadata__": 3}, "__metadata__ is no object"),
        (b"{", "header is damaged"),
        (b'{"x":1,"x":1}', "a name is there twice"),
        (b'{"x":' + b"[" * 100_000, "header is damaged"),
        ({**row(), "__metadata__": {"jaxcnn": "{"}}, "configuration is damaged"),
        ({**row(), "__metadata__": {"jaxcnn": "{}"}}, "configuration is damaged"),
    ],
)
def test_damaged_safetensors(tmp_path, header, message):
    path = tmp_path / "x.safetensors"
    write_header(path, header)
    with pytest.raises(ValueError, match=message):
        read_weights(path)


def test_safetensors_cut_short(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, ARRAYS)
    content = path.read_bytes()
    for end in range(9, len(content), 5):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"x\.safetensors cannot be read: it"):
            read_weights(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    path = tmp_path / "weights"
    arrays = {name: ARRAYS[name] for name in ("half", "count", "flags")}
    with path.open("wb") as file:
        save(file, **arrays)
    found = read_weights(path)
    assert found.kind == "npz"
    check(found.arrays, arrays)


def test_npz_with_python_objects(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}]))
    with pytest.raises(ValueError, match="holds Python objects, which are not read"):
        read_weights(tmp_path / "x.npz")


def test_npz_cut_short_and_changed(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(100))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(ValueError, match="damaged or cut short"):
        read_weights(path)
    path.write_bytes(content[:300] + b"\xff" + content[301:])
    with pytest.raises(ValueError, match="it is damaged"):
        read_weights(path)


def numbers_of(shape):
    """Returns a file of NumPy that says a shape and holds no numbers."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape},), }}\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize(
    ("content", "method", "message"),
    [
        (b"hello", zipfile.ZIP_STORED, "x is no array"),
        (numbers_of(2**45), zipfile.ZIP_STORED, "more memory|EOF"),
        (numbers_of(2**70), zipfile.ZIP_STORED, "too large"),
        (b"hello", zipfile.ZIP_LZMA, "compressed by method 14, which is not read"),
        (b"\0" * 1_000_000, zipfile.ZIP_DEFLATED, "bytes unpack to 1,000,000"),
    ],
)
def test_npz_of_something_else(tmp_path, monkeypatch, content, method, message):
    monkeypatch.setattr(weight_file, "_MOST_UNPACKED", 10_000)
    with zipfile.ZipFile(tmp_path / "x", "w", method) as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "x")


def write_h5(path, layers, group=None):
    """Writes `{layer: {weight: array}}` as Keras 2 does."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        top = file.create_group(group) if group else file
        top.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            place = top.create_group(layer)
            place.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                place[name] = array


NUMBERS = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("group", [None, "model_weights"])
def test_keras_2(tmp_path, group):
    path = tmp_path / "weights"
    layers = {"conv1": {"conv1/kernel:0": NUMBERS, "conv1/bias:0": -NUMBERS}}
    layers["relu"] = {}
    write_h5(path, layers, group)
    found = read_weights(path)
    assert found.kind == "keras"
    check(found.arrays, {"conv1/kernel": NUMBERS, "conv1/bias": -NUMBERS})


def test_the_kernels_of_depthwise_convolutions(tmp_path):
    """Separable convolutions have two; Keras 3 calls a depthwise one `kernel`."""
    separable = {"s/depthwise_kernel:0": NUMBERS, "s/pointwise_kernel:0": NUMBERS}
    layers = {"d": {"d/depthwise_kernel:0": NUMBERS}, "s": separable}
    write_h5(tmp_path / "x", layers)
    names = ["d/kernel", "s/depthwise_kernel", "s/pointwise_kernel"]
    assert list(read_weights(tmp_path / "x").arrays) == names


def test_keras_1(tmp_path):
    weights = {"a_1_W_1:0": NUMBERS, "a_1_b_1:0": -NUMBERS, "a_1_running_std": NUMBERS}
    write_h5(tmp_path / "x", {"a_1": weights})
    names = ["a_1/kernel", "a_1/bias", "a_1/moving_variance"]
    assert list(read_weights(tmp_path / "x").arrays) == names


def test_h5_of_something_else(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = NUMBERS
    with pytest.raises(ValueError, match="HDF5 file without weights of Keras"):
        read_weights(tmp_path / "x.h5")


def test_h5_cut_short(tmp_path):
    write_h5(tmp_path / "x.h5", {"a": {"a/kernel:0": NUMBERS}})
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="it is damaged"):
        read_weights(tmp_path / "x.h5")


def linked(h5py, group, other):
    group["w"] = h5py.ExternalLink(str(other), "x")


def virtual(h5py, group, other):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "x", (4,))
    group.create_virtual_dataset("w", layout)


def external(h5py, group, other):
    group.create_dataset("w", (4,), "f4", external=[(str(other), 0, 16)])


@pytest.mark.parametrize("put", [linked, virtual, external])
def test_h5_never_reads_another_file(tmp_path, put):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret", "w") as file:
        file["x"] = NUMBERS
    write_h5(tmp_path / "x.h5", {"a": {}})
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["a"].attrs["weight_names"] = ["w"]
        put(h5py, file["a"], tmp_path / "secret")
        assert file["a/w"].shape == (4,)  # h5py itself does read it
    with pytest.raises(ValueError, match=r"its weight /.* lies in another file"):
        read_weights(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.attrs.__setitem__("layer_names", ["b"]), "damaged"),
        (lambda file: file.attrs.__setitem__("layer_names", 3), "damaged"),
        (lambda file: file["a"].attrs.__setitem__("weight_names", ["b"]), "damaged"),
        (lambda file: file.create_group("a/w"), "weight /a/w is a group"),
        (
            lambda file: file["a"].create_dataset("w", (2**40,), "f4", chunks=(9,)),
            "the 0 bytes of its weight /a/w unpack to 4,398,046,511,104",
        ),
    ],
)
def test_damaged_h5(tmp_path, damage, message):
    h5py = pytest.importorskip("h5py")
    write_h5(tmp_path / "x.h5", {"a": {}})
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["a"].attrs["weight_names"] = ["w"]
        damage(file)
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "x.h5")


def test_h5_that_ends_in_an_archive(tmp_path):
    write_h5(tmp_path / "x.h5", {"a": {"a/kernel:0": NUMBERS}})
    with zipfile.ZipFile(tmp_path / "x.h5", "a") as archive:
        archive.writestr("readme.txt", "hello")
    check(read_weights(tmp_path / "x.h5").arrays, {"a/kernel": NUMBERS})


def test_h5_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "x").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(ValueError, match=r"needs h5py: pip install 'jaxcnn\[h5\]'"):
        read_weights(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html>", "it is a web page"),
        (b"\x80\x04K\x01.", "pickle that torch.save did not write"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar file, as PyTorch before 0.1.10"),
        (b"hello", r"its kind is not known; known are \.pth and \.pt of PyTorch, "),
    ],
)
def test_files_of_no_kind(tmp_path, content, message):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.pth cannot be read: .*{message}"):
        read_weights(tmp_path / "x.pth")


def test_another_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="zip archive without weights"):
        read_weights(tmp_path / "x.zip")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights .*x\.pth"):
        read_weights(tmp_path / "x.pth")
