"""Small datasets of every kind, written anew for the tests that ask for them."""

import gzip
import struct

import numpy as np
import pytest

from jaxcnn.data import Source


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Keeps the tests away from the user's cache and datasets."""
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def make_source():
    """Returns a function that makes a source whose image i is filled with i."""

    def make(n=10, classes=2, **kwargs):
        images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
        names = tuple(f"class{c}" for c in range(classes))
        arguments = {"labels": np.arange(n) % classes, "class_names": names}
        return Source("tiny", np.tile(images, (1, 2, 2, 1)), **{**arguments, **kwargs})

    return make


@pytest.fixture
def idx_bytes():
    """Returns a function that writes an array as an IDX file's content."""

    def write(array):
        codes = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}
        head = bytes([0, 0, codes[array.dtype.name], array.ndim])
        sizes = struct.pack(f">{array.ndim}I", *array.shape)
        return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()

    return write


@pytest.fixture
def idx_folder(tmp_path, idx_bytes):
    """A folder with six training and four test images, the latter gzipped."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for prefix, n in (("train", 6), ("t10k", 4)):
        images = np.arange(n * 12, dtype=np.uint8).reshape(n, 4, 3)
        labels = (np.arange(n) % 3).astype(np.uint8)
        parts = (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels))
        for name, array in parts:
            content, path = idx_bytes(array), folder / f"{prefix}-{name}"
            if prefix == "train":
                path.write_bytes(content)
            else:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    return folder
