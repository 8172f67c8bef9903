import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import TrainData, load_source
from jaxcnn.experiment import (
    ExperimentConfig,
    ModelConfig,
    build,
    determinism,
    train,
    training,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.trials import first_batches
from jaxcnn.train import read_metrics
from tests.experiment.conftest import small

ROOT = Path(__file__).parents[2]


def quietly(config, *, pictures=False):
    """Trains without a word, and without pictures, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:
            patch.setattr(training, "draw_results", lambda *args: None)
            patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return train(config, file=io.StringIO())


@pytest.mark.thorough
def test_a_dev_run_does_everything_once_in_a_folder_of_its_own(tmp_path):
    config = small(tmp_path / "run", fast_dev_run=2, patience=1, time_limit=1e-9)
    result = quietly(config, pictures=True)
    folder = Path(result.directory)
    assert folder == tmp_path / "run-dev"
    assert (result.complete, result.step, result.split) == (True, 2, "test")
    for name in ("curves.png", "predictions.png", "results.json", "checkpoints"):
        assert (folder / name).exists()
    assert not (tmp_path / "run").exists()
    records = read_metrics(folder / "metrics")
    expected = [(1, "train"), (2, "validation"), (2, "train")]
    assert [(r["step"], r["split"]) for r in records] == expected


@pytest.mark.thorough
def test_a_dev_run_starts_anew_each_time(tmp_path):
    for _ in range(2):
        result = quietly(small(tmp_path / "run", fast_dev_run=1))
        assert (result.complete, result.step) == (True, 1)
        records = read_metrics(tmp_path / "run-dev" / "metrics")
        assert [r["split"] for r in records] == ["validation", "train"]


def test_a_dev_run_deletes_no_run(finished, tmp_path):
    Path(tmp_path / "run-dev").symlink_to(finished[0].directory)
    before = sorted(Path(finished[0].directory).rglob("*"))
    with pytest.raises(ValueError, match="run-dev holds a run, which fast_dev_run wo"):
        quietly(small(tmp_path / "run", fast_dev_run=2))
    assert sorted(Path(finished[0].directory).rglob("*")) == before


def test_a_dev_run_has_the_rates_of_the_whole_run(tmp_path):
    optimizer = dataclasses.replace(small(tmp_path).optimizer, schedule="cosine")
    whole = build(small(tmp_path, optimizer=optimizer))
    short = build(small(tmp_path, optimizer=optimizer, fast_dev_run=2))
    assert [short.schedule(k) for k in (0, 5)] == [whole.schedule(k) for k in (0, 5)]


def test_overfitting_trains_and_measures_the_same_batches(tmp_path):
    config = small(tmp_path / "run", overfit_batches=2, patience=1)
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, augment=("random_flip",))
    )
    whole, parts = build(small(tmp_path)), build(config)
    assert parts.train.steps_per_epoch == 2
    for k in range(5):
        expected = whole.train[k % 2]["image"]
        np.testing.assert_array_equal(parts.train[k]["image"], expected)
    measured = np.concatenate([b["image"][b["mask"] > 0] for b in parts.validation])
    own = np.concatenate([whole.train[k]["image"] for k in range(2)])
    np.testing.assert_array_equal(measured, own)
    assert parts.test is None
    assert parts.config.run_dir.endswith("run-overfit")


def test_batches_of_a_balanced_epoch_can_be_overfitted():
    data = TrainData(load_source("digits"), 32, seed=1, sampling="balanced")
    few = first_batches(data, 3)
    for k in range(6):
        np.testing.assert_array_equal(few[k]["image"], data[k % 3]["image"])
    with pytest.raises(ValueError, match="overfit_batches is 50, but an epoch has 44"):
        first_batches(data, 50)


@pytest.mark.thorough
def test_overfitting_reaches_a_loss_near_zero(tmp_path):
    # Without batch norm, whose running averages lag behind the few batches.
    model = ModelConfig("cnn", args={"features": [8, 16], "norm": None})
    config = small(tmp_path / "run", model=model, overfit_batches=1, patience=1)
    result = quietly(dataclasses.replace(config, steps=100))
    assert result.step == 100  # patience does not end it
    assert result.metrics["accuracy"] == 1
    assert result.metrics["loss"] < 0.05


def test_a_run_does_not_become_a_trial(finished):
    config = small(finished[0].directory)
    assert small(config.run, fast_dev_run=1).run_dir != config.run_dir
    assert small(config.run, overfit_batches=1).run_dir != config.run_dir
    assert small("runs/x/", overfit_batches=1).run_dir == "runs/x-overfit"


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (["--fast-dev-run"], 3),
        (["--fast-dev-run", "--seed", "1"], 3),
        (["--fast_dev_run", "5"], 5),
        ([], 0),
    ],
)
def test_a_number_of_batches_may_be_left_out(args, count):
    config = parse_config(ExperimentConfig(), args, prog="jaxcnn train")
    assert config.fast_dev_run == count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fast_dev_run": -1}, "fast_dev_run must be 0 or more, got -1"),
        ({"overfit_batches": -1}, "overfit_batches must be 0 or more, got -1"),
        ({"fast_dev_run": 1, "overfit_batches": 1}, "exclude each other"),
        ({"data.fold": 2}, "data.fold is 2: set data.folds"),
        ({"data.folds": 3, "data.fold": 4}, "fold is 4, expected 1 to 3"),
        ({"data.folds": 1}, "folds is 1, expected a whole number from 2"),
        ({"data.fold_seed": -1}, "seed is -1, expected an integer from 0"),
    ],
)
def test_fields_out_of_range(changes, message):
    data = {k[5:]: v for k, v in changes.items() if k.startswith("data.")}
    plain = {k: v for k, v in changes.items() if not k.startswith("data.")}
    config = ExperimentConfig()
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, **data), **plain
    )
    with pytest.raises(ValueError, match=message):
        validate(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augment": ("mixup(alpha=0.2)",)},
            "mixes classes: it is for the task 'class",
        ),
        ({"sampling": "balanced"}, None),
    ],
)
def test_mixing_is_for_classes(tmp_path, changes, message):
    config = small(
        tmp_path,
        task="reconstruction",
        model=ModelConfig("denoising_autoencoder", args={"features": [4, 8]}),
    )
    data = dataclasses.replace(config.data, standardize=False, **changes)
    config = dataclasses.replace(config, data=data)
    if message is None:
        assert build(config).train.sampling == "balanced"
        return
    with pytest.raises(ValueError, match=message):
        build(config)


@pytest.mark.thorough
def test_a_run_with_mixed_labels_and_balanced_classes(tmp_path):
    config = small(tmp_path / "run", label_smoothing=0.1, steps=4)
    data = dataclasses.replace(
        config.data,
        augment=("random_flip", "mixup_or_cutmix"),
        sampling="balanced",
        folds=3,
        fold=2,
    )
    result = quietly(dataclasses.replace(config, data=data))
    assert result.complete
    assert 0 <= result.metrics["accuracy"] <= 1


def test_stochastic_depth_and_smoothing_are_chosen_by_flags(tmp_path):
    args = ["--model", "resnet20_cifar", "--model.args", '{"drop_path": 0.2}']
    args += ["--label-smoothing", "0.1", "--data.split", "train[:100]"]
    parts = build(parse_config(ExperimentConfig(), args, prog="jaxcnn train"))
    assert parts.model.drop_path == 0.2
    assert parts.config.label_smoothing == 0.1


def test_deterministic_adds_the_flag_before_the_backend_starts(monkeypatch):
    monkeypatch.setattr(determinism, "_backend_is_up", lambda: False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    determinism.make_deterministic()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=x {determinism.FLAG}"
    determinism.make_deterministic()
    assert os.environ["XLA_FLAGS"].count(determinism.FLAG) == 1


def test_deterministic_is_refused_when_it_is_too_late(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    with pytest.raises(ValueError, match="its backend is up"):
        quietly(small(tmp_path / "run", deterministic=True))
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("XLA_FLAGS", determinism.FLAG)
    determinism.make_deterministic()  # known from the start


@pytest.mark.thorough
def test_two_deterministic_runs_are_equal_to_the_bit(tmp_path):
    """In new processes, on the command line: nothing starts the backend too early."""
    losses = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "jaxcnn", "train", "--deterministic"]
        command += [
            "--model",
            "cnn",
            "--model.args",
            '{"features": [4], "dropout": 0.1}',
        ]
        command += ["--steps", "3", "--log-every", "1", "--run", str(tmp_path / name)]
        command += ["--data.augment", "mixup", "random_shift"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        records = read_metrics(tmp_path / name / "metrics")
        losses.append([record["loss"] for record in records])
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["experiment"]["deterministic"] is True
    assert losses[0] == losses[1]
