"""Decoded images on disk: the same bytes, once decoded, and nothing trusted blindly."""

import re

import numpy as np
import pytest

from jaxcnn.data import (
    EvalData,
    FileOptions,
    TrainData,
    cache_folder,
    make_crops,
)
from jaxcnn.data.decoding import Decoder

from .images import read, same, write_images


@pytest.fixture
def root(tmp_path):
    return write_images(tmp_path)


@pytest.fixture
def decoded(monkeypatch):
    """Returns a list that grows by one with every image that is decoded."""
    calls, decode = [], Decoder.__call__

    def count(self, *args):
        calls.append(1)
        return decode(self, *args)

    monkeypatch.setattr(Decoder, "__call__", count)
    return calls


def files():
    return sorted(cache_folder().glob("*"))


@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"edges": True}])
def test_evaluation_is_the_same_to_the_byte(root, decoded, options):
    source = read(root, "val", files=FileOptions(**options))
    wanted = list(EvalData(source, 4))
    cached = source.cached()
    decoded.clear()
    found = list(EvalData(cached, 4))
    assert all(same(a, b) for a, b in zip(wanted, found, strict=True))
    assert not decoded


def test_it_is_made_once(root, decoded):
    source = read(root)
    for _ in range(2):
        cached = source.cached()
        assert len(decoded) == 12
    assert len(files()) == 1
    assert files()[0].stat().st_size == 4096 * 2 + 12 * 16 * 16 * 3
    cached.subset(np.arange(3)).batch(np.arange(3))
    assert len(decoded) == 12


def test_training_without_random_crops_is_the_same_to_the_byte(root, decoded):
    source = read(root, crops=make_crops((16, 16), random=False))
    wanted = TrainData(source, 4)[5]
    cached = source.cached(training=True)
    decoded.clear()
    assert same(TrainData(cached, 4)[5], wanted)
    assert not decoded


def test_random_crops_are_cut_from_what_is_kept(root, decoded):
    source = read(root)
    cached = source.cached(training=True, size=40)
    decoded.clear()
    near = []
    for k in range(6):
        one, two = TrainData(source, 4, 1)[k], TrainData(cached, 4, 1)[k]
        assert (one["label"] == two["label"]).all()
        near.append(abs(one["image"].astype(int) - two["image"]).mean())
    assert max(near) < 2
    assert len(decoded) == 24  # by the source that has no cache
    again = read(root).cached(training=True, size=40)
    assert same(TrainData(again, 4, 1)[5], TrainData(cached, 4, 1)[5])


def test_the_default_size_is_what_evaluation_resizes_to(root):
    read(root).cached(training=True)
    assert files()[0].stat().st_size == 4096 * 2 + 12 * 18 * 18 * 3  # 16 / 0.875


def test_edges_are_found_after_the_crop(root):
    source = read(root, files=FileOptions(edges=True))
    batch = TrainData(source.cached(training=True), 4)[0]["image"]
    assert all(
        (source.decoder.with_edges(image[..., :3]) == image).all() for image in batch
    )


def test_other_data_crops_and_sizes_are_other_files(root):
    read(root).cached()
    read(root, "val").cached()
    read(root, crops=make_crops((16, 16), resize=30)).cached()
    read(root).subset(np.arange(3)).cached()
    read(root).cached(training=True)
    read(root).cached(training=True, size=20)
    assert len(files()) == 6
    path = root / "train/cat/0.jpg"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1  # as many bytes, written later
    path.write_bytes(content)
    read(root).cached()
    assert len(files()) == 7


def test_a_file_that_is_cut_or_changed_is_made_anew(root, decoded):
    source = read(root)
    wanted = source.batch(np.arange(12))
    source.cached()
    content = files()[0].read_bytes()
    table = content.index(b"\n", 20) + 5
    flipped = content[:table] + bytes([content[table] ^ 1]) + content[table + 1 :]
    for damaged in (content[:-100], content[:10], b"", b"?" * 9000, flipped):
        files()[0].write_bytes(damaged)
        decoded.clear()
        assert same(source.cached().batch(np.arange(12)), wanted)
        assert len(decoded) == 12
        assert files()[0].read_bytes() == content


@pytest.mark.parametrize("training", [False, True])
def test_a_flipped_bit_of_an_image_is_seen_and_mended(root, training):
    source = read(root).cached(training=training)
    draw = {"seed": 0, "epoch": 3} if training else {}
    wanted = source.batch(np.arange(12), **draw)
    content = bytearray(files()[0].read_bytes())
    content[-7] ^= 1
    files()[0].write_bytes(content)
    again = read(root).cached(training=training)
    with pytest.warns(UserWarning, match="is damaged: an image is decoded anew"):
        assert same(again.batch(np.arange(12), **draw), wanted)


def test_broken_images_are_named_or_skipped_as_without(root):
    (root / "train/dog/5.jpg").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"dog/5\.jpg' cannot be decoded"):
        read(root).cached()
    assert not files()  # nothing half-made is left
    with pytest.warns(UserWarning, match=r"dog/5\.jpg' cannot be decoded"):
        source = read(root, on_broken="skip").cached()
    assert source.batch(np.arange(12)).get("mask").tolist() == [1.0] * 11 + [0.0]


def test_a_cache_that_cannot_be_written_is_an_error(root, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        read(root).cached()


def test_squares_less_than_the_crops_are_refused(root):
    message = "size of the cache is 9, expected at least 16"
    with pytest.raises(ValueError, match=re.escape(message)):
        read(root).cached(training=True, size=9)
