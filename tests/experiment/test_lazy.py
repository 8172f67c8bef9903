"""Runs on images that are decoded batch by batch, from the configuration."""

import dataclasses
import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import LazySource, WorkerData
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    build,
    train,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.folder import _MAY_CHANGE
from jaxcnn.experiment.measure import measure_run

from ..data.images import write_images

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "imagenet_resnet50.py"


def lazy(root, **changes):
    data = {
        "test_split": "val",
        "validation": 0,
        "batch_size": 4,
        "eval_batch_size": 4,
        "decode": "lazy",
        "image_size": 16,
        **changes,
    }
    return ExperimentConfig(
        run=str(root / "run"),
        model=ModelConfig("cnn", args={"features": [4, 8], "norm": "batch"}),
        data=DataConfig(f"folder:{root}", **data),
        steps=4,
    )


@pytest.fixture
def root(tmp_path):
    return write_images(tmp_path)


def test_the_parts_decode_when_asked(root):
    experiment = build(lazy(root))
    assert isinstance(experiment.train, WorkerData)
    assert isinstance(experiment.train.source, LazySource)
    assert experiment.train[0]["image"].shape == (4, 16, 16, 3)
    assert [batch["mask"].sum() for batch in experiment.test] == [4, 2]
    assert experiment.run_config.data["examples"] == 12
    assert len(experiment.run_config.preprocess.mean) == 3


def test_the_crops_are_those_of_the_configuration(root):
    config = lazy(
        root, resize=20, crop_area=(0.5, 1.0), crop_aspect=(1.0, 1.0), crop_flip=0.0
    )
    source = build(config).train.source
    assert source.eval_crop.resize == 20
    crop = source.train_crop
    assert (crop.area, crop.aspect, crop.flip) == ((0.5, 1.0), (1.0, 1.0), 0.0)
    assert build(lazy(root, random_crop=False)).train.source.train_crop.resize == 18


def test_a_dataset_keeps_its_own_validation_split_beside_a_carved_one(root):
    experiment = build(lazy(root, validation=4, test_split="validation"))
    sizes = [
        len(data.source)
        for data in (experiment.train, experiment.validation, experiment.test)
    ]
    assert sizes == [8, 4, 6]


def test_workers_may_change_from_start_to_start():
    assert {"data.workers", "data.worker_timeout"} <= _MAY_CHANGE
    assert not {"data.on_broken", "data.image_size", "data.resize"} & _MAY_CHANGE


@pytest.mark.thorough
def test_a_run_goes_on_with_other_workers_as_if_it_had_never_stopped(root):
    whole = train(lazy(root, workers=0), file=io.StringIO())
    config = dataclasses.replace(lazy(root, workers=2), run=str(root / "parts"))
    train(dataclasses.replace(config, steps=3), file=io.StringIO())
    data = dataclasses.replace(config.data, workers=1)
    parts = train(dataclasses.replace(config, data=data), file=io.StringIO())
    assert parts.metrics == whole.metrics
    assert measure_run(config.run, "val")[1] == whole.metrics
    for name in ("results.json", "predictions.png"):
        assert (root / "parts" / name).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": None}, "data.decode 'lazy' needs data.image_size"),
        ({"workers": -1}, "data.workers must be 0 or more, got -1"),
        ({"decode": "memory", "workers": 2}, "they need data.decode 'lazy'"),
        ({"decode": "later"}, "data.decode must be 'memory' or 'lazy', got 'later'"),
        ({"worker_timeout": 0}, "data.worker_timeout must be above 0, got 0"),
        ({"image_size": 0}, "data.image_size must be above 0, got 0"),
    ],
)
def test_bad_fields_are_named(root, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        validate(lazy(root, **changes))


def test_noise_needs_images_in_memory(root):
    config = dataclasses.replace(
        lazy(root, noise=0.1, standardize=False), task="reconstruction"
    )
    with pytest.raises(ValueError, match=r"data\.noise needs data\.decode 'memory'"):
        validate(config)


@pytest.mark.parametrize(("batch_size", "peak"), [(4, 0.05), (8, 0.1)])
def test_the_rate_grows_with_the_batch(root, batch_size, peak):
    optimizer = OptimizerConfig("sgd", 0.1, base_batch_size=8)
    config = lazy(root, batch_size=batch_size)
    schedule = build(dataclasses.replace(config, optimizer=optimizer)).schedule
    assert np.isclose(schedule(0), peak)


def test_the_recipe_is_the_papers(monkeypatch):
    module = runpy.run_path(str(EXPERIMENT))
    config = module["get_config"]()
    validate(config)
    from jaxcnn.experiment.optimizer import schedule_of

    for batch_size, peak in ((256, 0.1), (8192, 3.2)):
        data = dataclasses.replace(config.data, batch_size=batch_size)
        scaled = dataclasses.replace(config, data=data)
        per_epoch = 1_281_167 // batch_size
        schedule = schedule_of(scaled, per_epoch)
        # Goyal et al. 2017, section 5.1; the drops are at the start of these epochs.
        rates = [schedule(epoch * per_epoch) for epoch in (5, 29, 30, 59, 60, 79, 80)]
        wanted = [peak, peak, *[peak / 10] * 2, *[peak / 100] * 2, peak / 1000]
        np.testing.assert_allclose(rates, wanted, rtol=1e-5)
    assert config.data.test_split == "validation"


@pytest.mark.thorough
def test_the_rehearsal_prints_images_per_second(capsys):
    rehearse = runpy.run_path(str(EXPERIMENT))["rehearse"]
    small = ["--model", "lenet", "--data.image-size", "28", "--steps", "3"]
    speed = rehearse([*small, "--data.workers", "1", "--parallel", "jit"])
    assert speed["input"] > 0
    assert speed["step"] > 0
    assert "evaluated 20 images" in capsys.readouterr().out
