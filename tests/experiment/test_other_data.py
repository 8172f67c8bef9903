import dataclasses

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import from_arrays
from jaxcnn.experiment import DataConfig, ExperimentConfig
from jaxcnn.experiment.other_data import (
    default_split,
    evaluation_of,
    in_order_of,
    with_data,
)
from jaxcnn.run import RunConfig


def run_of(data, classes=("cat", "dog"), shape=(8, 8, 3)):
    config = ExperimentConfig(data=data)
    run = RunConfig("mlp", {}, "classification", shape, classes)
    return dataclasses.replace(run, experiment=config.to_json()), config


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with one gray a class: cat 10, dog 200."""
    for name, gray in (("cat", 10), ("dog", 200)):
        (tmp_path / "new" / name).mkdir(parents=True)
        for k in range(3):
            pixels = np.full((12, 16, 3), gray + k, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "new" / name / f"{k}.png")
    return tmp_path / "new"


def batch_of(run, config, name, split=None):
    config = with_data(config, run, str(name))
    return next(iter(evaluation_of(run, config, split, other=True)))


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (DataConfig("digits"), (8, 8, 1)),
        (DataConfig("cifar10", decode="lazy", image_size=8), (8, 8, 3)),
        (DataConfig("folder:old", image_size=8, mode="L", validation=0.5), (8, 8, 1)),
        (
            DataConfig("folder:old", image_size=8, folds=3, group="c", columns={}),
            (8, 8, 3),
        ),
    ],
)
def test_a_whole_folder_is_measured_as_the_run_sees_pictures(folder, data, shape):
    batch = batch_of(*run_of(data, shape=shape), folder)
    labels = batch["label"][batch["mask"] > 0]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch["image"].shape[1:] == shape
    assert batch["image"][:6, 0, 0, 0].tolist() == [10, 11, 12, 200, 201, 202]


def test_labels_count_the_classes_as_the_model_does(folder):
    batch = batch_of(*run_of(DataConfig(), ("dog", "cat", "class 2")), folder)
    assert batch["label"][:6].tolist() == [1, 1, 1, 0, 0, 0]
    source = from_arrays(np.eye(8).reshape(4, 4, 4, 1), [0, 1, 1, 0], ["a", "b"])
    assert in_order_of(source, ("b", "a")).labels.tolist() == [1, 0, 0, 1]
    assert in_order_of(source, ("a", "b")) is source


def test_other_classes_are_one_error_that_lists_them(folder):
    (folder / "bird").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "bird" / "0.png")
    with pytest.raises(
        ValueError, match=r"model has: 'fish'\. Only the data have: 'bird'\."
    ):
        batch_of(*run_of(DataConfig(), ("cat", "dog", "fish")), folder)


def test_an_empty_folder_stands_for_a_class_without_images(folder):
    (folder / "fish").mkdir()
    batch = batch_of(*run_of(DataConfig(), ("cat", "dog", "fish")), folder)
    assert batch["label"][:6].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_broken_file_is_left_out(folder):
    (folder / "cat" / "1.png").write_text("no picture")
    with pytest.warns(UserWarning, match=r"1\.png' cannot be decoded and is sk"):
        batch = batch_of(*run_of(DataConfig()), folder)
    assert batch["mask"][:6].tolist() == [1, 0, 1, 1, 1, 1]


def test_a_table_and_its_splits(folder):
    rows = [f"{name}/{k}.png,{name}" for name in ("cat", "dog") for k in range(3)]
    table = folder / "list.csv"
    table.write_text("\n".join(["path,label", *rows]))
    run, config = run_of(DataConfig())
    assert batch_of(run, config, table)["mask"].sum() == 6
    parts = ["train", "test", "test"] * 2
    lines = [f"{row},{part}" for row, part in zip(rows, parts, strict=True)]
    table.write_text("\n".join(["path,label,split", *lines]))
    assert batch_of(run, config, table)["mask"].sum() == 4
    assert batch_of(run, config, table, "train")["mask"].sum() == 2


def test_arrays_are_brought_to_the_size_of_the_run(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)
    path = tmp_path / "new.npz"
    names = np.array(["dog", "cat"])
    np.savez(path, test_images=images, test_labels=[0, 1] * 3, class_names=names)
    batch = batch_of(*run_of(DataConfig("folder:old", image_size=8)), path)
    assert batch["image"].shape[1:] == (8, 8, 3)
    assert batch["label"][:6].tolist() == [1, 0] * 3
    with pytest.raises(
        ValueError, match=r"are \[8, 8, 3\], the model takes \[8, 8, 1\]"
    ):
        batch_of(*run_of(DataConfig(), shape=(8, 8, 1)), path)


def test_the_split_by_default():
    assert default_split(DataConfig("mnist")) == "test"
    assert default_split(DataConfig("folder:nowhere")) == "test"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 6, 3), "brought to squares only"),
        ((64, 2), r"takes arrays of shape \[64, 2"),
    ],
)
def test_files_for_models_that_take_none(folder, shape, message):
    run, config = run_of(DataConfig(), shape=shape)
    with pytest.raises(ValueError, match=message):
        with_data(config, run, str(folder))
