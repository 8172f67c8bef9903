"""The published data, where a copy is at hand: JAXCNN_TEST_DATA names its folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import load_source

pytestmark = pytest.mark.skipif(
    "JAXCNN_TEST_DATA" not in os.environ, reason="JAXCNN_TEST_DATA is not set"
)


@pytest.fixture
def folder():
    return Path(os.environ["JAXCNN_TEST_DATA"])


def _sorted_rows(source):
    rows = source.images.reshape(len(source), -1)
    rows = np.concatenate([rows, source.labels[:, None].astype(np.uint8)], axis=1)
    return sorted(row.tobytes() for row in rows)


def test_mnist_is_the_same_from_tfds_and_from_the_original_files(folder):
    original = load_source("mnist", "test", data_dir=folder / "mnist-idx")
    prepared = load_source("mnist", "test", data_dir=folder / "tfds")
    assert original.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(original.labels)[:3].tolist() == [980, 1135, 1032]
    assert original.class_names == prepared.class_names == tuple("0123456789")
    # TFDS shuffles what it prepares.
    assert _sorted_rows(original) == _sorted_rows(prepared)


def test_cifar10_test_split(folder):
    source = load_source("cifar10", "test", data_dir=folder / "tfds")
    assert np.bincount(source.labels).tolist() == [1000] * 10
    assert source.image_shape == (32, 32, 3)
    assert source.class_names[3] == "cat"
    assert source.labels[:4].tolist() == [3, 8, 8, 0]


@pytest.mark.parametrize(
    ("split", "counts"),
    [("train", [1214, 3494]), ("val", [135, 389]), ("test", [234, 390])],
)
def test_pneumoniamnist(folder, split, counts):
    source = load_source(f"npz:{folder / 'pneumoniamnist.npz'}", split)
    assert np.bincount(source.labels).tolist() == counts
    assert source.image_shape == (28, 28, 1)
