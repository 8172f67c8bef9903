import errno

import numpy as np
import pytest

from jaxcnn.data import cache_folder
from jaxcnn.data.cache import load_or_make


class Maker:
    """Counts how often the arrays had to be made."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"image": np.arange(100, dtype=np.uint8), "label": np.arange(3)}


@pytest.fixture
def make():
    return Maker()


def test_arrays_are_made_once_a_key(make):
    first = load_or_make("x", ["a", 1], make)
    second = load_or_make("x", ["a", 1], make)
    assert make.calls == 1
    np.testing.assert_array_equal(first["image"], second["image"])
    load_or_make("x", ["a", 2], make)
    assert make.calls == 2
    assert sorted(p.suffix for p in cache_folder().iterdir()) == [".npz", ".npz"]


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:],
    ],
    ids=["truncated", "empty", "flipped"],
)
def test_a_damaged_file_is_made_again(make, change):
    load_or_make("x", "key", make)
    (path,) = cache_folder().iterdir()
    good = path.read_bytes()
    path.write_bytes(change(good))
    arrays = load_or_make("x", "key", make)
    assert make.calls == 2
    np.testing.assert_array_equal(arrays["image"], np.arange(100))
    load_or_make("x", "key", make)
    assert make.calls == 2


def test_a_folder_that_cannot_be_made_costs_a_warning(make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not kept for the next start: .*JAXCNN_HOME"):
        arrays = load_or_make("x", "key", make)
    assert len(arrays["image"]) == 100


def test_a_full_disk_costs_a_warning_and_leaves_nothing(make, monkeypatch):
    def savez(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert load_or_make("x", "key", make)["label"].tolist() == [0, 1, 2]
    assert list(cache_folder().iterdir()) == []


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "datasets"
    monkeypatch.delenv("JAXCNN_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(cache_folder()) == "/home/someone/.cache/jaxcnn/datasets"
