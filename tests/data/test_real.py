"""The published data, where a copy is at hand: JAXCNN_TEST_DATA names its folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import FileOptions, load_source, make_crops

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


@pytest.mark.filterwarnings("ignore:.*has a box without an area")
def test_blood_cells_are_read_as_published(folder):
    crops = make_crops((240, 320), stretch=True)
    options = {"decode": "lazy", "image_size": (240, 320), "crops": crops}
    counts, examples = np.zeros(3, int), []
    for split in ("train", "val", "test"):
        source = load_source(f"voc:{folder / 'bccd'}", split, **options)
        examples.append(len(source))
        found = [source.targets.read(int(i))[1] for i in source.indices]
        counts += np.bincount(np.concatenate(found), minlength=3)
    assert source.class_names == ("Platelets", "RBC", "WBC")
    assert examples == [205, 87, 72]
    assert counts.tolist() == [361, 4155 - 2, 372]
    batch = source.batch(np.arange(4))
    # White blood cells are violet: less green than what is around them.
    for image, boxes, labels in zip(
        batch["image"], batch["boxes"], batch["box_labels"], strict=True
    ):
        for left, top, right, bottom in boxes[labels == 2].round().astype(int):
            inside = image[top:bottom, left:right, 1].mean()
            assert inside < image[..., 1].mean() - 10


def test_membranes_are_dark(folder):
    files = FileOptions(mode="L", mask_values=(0, 255))
    crops = make_crops((128, 128), area=(0.2, 1.0))
    name = f"masks:{folder / 'isbi_membrane'}"
    options = {"decode": "lazy", "image_size": (128, 128)}
    source = load_source(name, crops=crops, files=files, **options)
    assert len(source) == 30
    for epoch in (None, 0, 1):
        batch = source.batch(np.arange(30), epoch=epoch)
        gray, inside = batch["image"][..., 0], batch["segmentation"] == 1
        assert 0.7 < inside.mean() < 0.85
        assert gray[inside].mean() > gray[~inside].mean() + 40
