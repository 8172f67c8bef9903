"""Runs that start from trained weights, and `jaxcnn finetune`."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn import cli
from jaxcnn.data import load_source
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    TransferConfig,
    build,
    train,
    training,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.finetune import data_name, finetune_config
from jaxcnn.experiment.measure import measure_run
from jaxcnn.run import RunConfig, load_run
from jaxcnn.transfer import write_safetensors
from jaxcnn.tree import flatten_named
from tests.experiment.conftest import small
from tests.train.nets import assert_same

MODEL = {"features": [4, 8], "norm": "batch"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns a file of weights of five classes, none of which is a fresh one's."""
    from jaxcnn import create_model

    model = create_model("cnn", num_classes=5, **MODEL)
    image = jax.ShapeDtypeStruct((1, 28, 28, 1), np.float32)
    shapes = flatten_named(jax.eval_shape(model.init, jax.random.key(0), image))
    random = np.random.default_rng(3)
    arrays = {
        k: random.uniform(0.1, 0.4, v.shape).astype("f") for k, v in shapes.items()
    }
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    write_safetensors(path, arrays)
    return str(path), arrays


def config(directory, weights, **transfer):
    options = {"weights": weights[0], **transfer}
    return small(directory, transfer=TransferConfig(**options))


def quietly(config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_results", lambda *args: None)
        patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return train(config, file=io.StringIO())


@pytest.mark.thorough
def test_a_run_starts_from_the_weights_with_a_new_head(tmp_path, weights):
    experiment = build(config(tmp_path / "run", weights, freeze="all"))
    leaves = flatten_named(experiment.init_state().variables)
    assert leaves["params/head/kernel"].shape[-1] == 10
    for name, array in weights[1].items():
        if "head" not in name:
            np.testing.assert_array_equal(leaves[name], array)
    record = experiment.run_config.transfer
    assert record["fingerprint"].startswith("sha256:")
    assert record["freeze"] == "all"
    assert experiment.transfer.settings.freeze == "all"


@pytest.mark.thorough
def test_a_cut_run_resumes_without_the_weights_and_is_used(tmp_path, weights):
    path = tmp_path / "w.safetensors"
    shutil.copy(weights[0], path)
    plan = config(
        tmp_path / "run",
        (str(path),),
        cut_at="stage1_norm1",
        freeze="all",
        hidden=(6,),
        unfreeze=("none@5",),
    )
    whole = quietly(dataclasses.replace(plan, run=str(tmp_path / "whole")))
    quietly(dataclasses.replace(plan, steps=7))
    path.unlink()
    resumed = quietly(plan)
    assert_same(whole.state, resumed.state)
    run = load_run(resumed.directory)
    assert set(run.variables["params"]) == {"head", "stage1_conv1", "stage1_norm1"}
    assert set(run.variables["params"]["head"]) == {"hidden1", "out"}
    assert measure_run(resumed.directory, "test[:100]")[1] == pytest.approx(
        resumed.metrics
    )
    images = load_source("digits", "test[:3]").images
    assert run.predict(images).shape == (3, 10)


@pytest.mark.thorough
def test_unfreezing_begins_at_its_step(tmp_path, weights):
    plan = config(tmp_path / "run", weights, freeze="all", unfreeze=("none@5",))
    plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer))
    body = {k: v for k, v in weights[1].items() if "head" not in k}

    def moved(steps):
        run = dataclasses.replace(plan, steps=steps, run=str(tmp_path / str(steps)))
        leaves = flatten_named(quietly(run).state.variables)
        return {k for k, v in body.items() if not np.array_equal(v, leaves[k])}

    assert moved(5) == set()
    assert moved(6) == set(body)


@pytest.mark.thorough
def test_other_channels_and_the_preprocessing_of_a_run(tmp_path, finished):
    start = TransferConfig(weights=finished[0].directory)
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (40, 12, 12, 3), np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "rgb.npz", images=images, labels=labels)
    plan = ExperimentConfig(
        run=str(tmp_path / "run"),
        model=ModelConfig("cnn"),
        data=DataConfig(f"npz:{tmp_path / 'rgb.npz'}", test_split="", batch_size=8),
        transfer=start,
        steps=1,
    )
    experiment = build(plan)
    run = RunConfig.load(finished[0].directory)
    assert experiment.run_config.preprocess.mean == run.preprocess.mean * 3
    assert experiment.run_config.model_args["features"] == [4, 8]
    params = experiment.init_state().params
    old = load_run(finished[0].directory).variables["params"]
    kernel = old["stage1_conv1"]["kernel"]
    np.testing.assert_allclose(
        params["stage1_conv1"]["kernel"].sum(2), kernel.sum(2), rtol=1e-5
    )
    data = dataclasses.replace(start, preprocess="data")
    own = build(dataclasses.replace(plan, transfer=data)).run_config.preprocess
    assert len(set(own.mean)) == 3


def test_a_strategy_fills_in_what_is_not_said(tmp_path, weights):
    plan = config(tmp_path / "run", weights, strategy="auto", similar="no")
    run = build(plan).run_config
    assert run.transfer["case"] == "small and different"
    assert run.transfer["strategy"] == "cut_early"
    assert run.head["cut_at"] == run.transfer["cut_at"] == "before:stage2_conv1"


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"strategy": "auto"}, "'auto' needs transfer.similar, yes or no"),
        ({"strategy": "al"}, "transfer.strategy='al' is unknown"),
        ({"unfreeze": ("none@3",)}, "transfer.unfreeze needs transfer.freeze"),
        ({"lr_decay": 1.5}, r"transfer.lr_decay must be in \(0, 1\], got 1.5"),
        ({"dropout": 1.0}, "transfer.dropout must be a number"),
        ({"hidden": (0,)}, "transfer.hidden must be"),
        ({"small_below": 0}, "transfer.small_below must be"),
        ({"statistics": "thawed"}, "transfer.statistics='thawed' is unknown"),
        ({"preprocess": "none"}, "transfer.preprocess='none' is unknown"),
        ({"head": "mlp", "hidden": (3,)}, "transfer.head is a module of its own"),
        ({"keep_head": True, "cut_at": "conv1"}, "keep_head excludes another head"),
        ({"weights": None, "keep_head": True}, "keep_head needs transfer.weights"),
        ({"weights": None, "strategy": "retrain"}, "strategy needs transfer.weights"),
    ],
)
def test_values_that_cannot_be(transfer, message):
    options = {"weights": "w.npz", **transfer}
    with pytest.raises(ValueError, match=message):
        validate(ExperimentConfig(transfer=TransferConfig(**options)))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"freeze": "all", "unfreeze": ("none",)}, "what is frozen from a time on"),
        ({"freeze": "all", "unfreeze": ("none@3", "none@3")}, "the times must grow"),
        (
            {"freeze": "through:stage1_conv1", "unfreeze": ("all@3",)},
            "'all' must freeze less than 'through:stage1_conv1'",
        ),
        ({"freeze": "through:stage"}, "calls no submodule 'stage'"),
        ({"cut_at": "stage1"}, "cut_at='stage1': Cnn calls no such submodule"),
    ],
)
def test_plans_that_cannot_be(tmp_path, weights, transfer, message):
    with pytest.raises(ValueError, match=message):
        build(config(tmp_path / "run", weights, **transfer))


@pytest.mark.thorough
def test_another_task_and_other_weights(tmp_path, weights):
    plan = config(tmp_path / "run", weights, keep_head=True)
    with pytest.raises(ValueError, match=r"params/head/bias is \(5,\) and must be"):
        build(plan).init_state()
    other = dataclasses.replace(
        plan,
        task="reconstruction",
        data=dataclasses.replace(plan.data, standardize=False),
    )
    with pytest.raises(ValueError, match="transfer is for the task 'classification'"):
        build(other)
    record = build(config(tmp_path / "run", weights))
    record.transfer.record["fingerprint"] = "sha256:0"
    with pytest.raises(ValueError, match="are not what they were"):
        record.init_state()


def flags(weights, *more):
    model = ["--model", "cnn", "--model.args", json.dumps(MODEL)]
    return [*model, "--weights", weights[0], *more]


@pytest.mark.thorough
def test_finetune_proposes_and_flags_override(weights):
    found, _, proposal = finetune_config("digits", flags(weights, "--similar", "yes"))
    assert proposal.strategy == "new_head"
    assert (found.optimizer.name, found.epochs) == ("adamw", 30)
    assert found.data.augment == ("default",)
    assert found.transfer.strategy == "auto"
    args = ("--strategy=fine_tune", "--epochs", "3", "--data.validation", "0")
    found, _, proposal = finetune_config("digits", flags(weights, *args))
    assert (found.epochs, found.patience) == (3, 0)
    assert found.optimizer.learning_rate == 3e-4
    assert found.name == "finetune_cnn_digits"
    args = ("--freeze", "^stage1", "--cut-at", "stage2_norm1")
    found, _, proposal = finetune_config("digits", flags(weights, *args))
    assert proposal is None
    assert found.transfer.freeze == "^stage1"


def test_what_finetune_is_told(tmp_path):
    (tmp_path / "x").mkdir()
    assert data_name(str(tmp_path / "x")) == f"folder:{tmp_path / 'x'}"
    assert [data_name(n) for n in ("a.tsv", "a.npz", "npz:a.npz")] == [
        *("table:a.tsv", "npz:a.npz", "npz:a.npz")
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "finetune needs a folder of images"),
        (["--similar", "no"], "finetune needs a folder of images"),
        (["digits", "--similar", "no"], "finetune needs --model"),
        (["digits", "--model", "cnn", "--similar", "no"], "finetune needs --weights"),
        (["digits", "--model", "cnn", "--weights", "w"], "--similar yes or no"),
    ],
)
def test_what_finetune_needs(args, message):
    with pytest.raises(ValueError, match=message):
        cli.dispatch(["finetune", *args])


@pytest.mark.thorough
def test_finetune_trains_on_a_folder_and_reports(tmp_path, weights, capsys):
    from PIL import Image

    random = np.random.default_rng(0)
    for name, light in {"dark": 0, "light": 150}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(20):
            pixels = random.integers(light, light + 80, (10 + k % 3, 12)).astype("u1")
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{k}.png")
    run = tmp_path / "run"
    args = flags(weights, "--similar", "yes", "--run", str(run), "--steps", "30")
    args += ["--data.image-size", "12", "--optimizer.learning-rate", "0.02"]
    args += ["--data.mode", "L", "--data.validation", "0"]  # test the last step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_results", lambda *args: None)
        assert cli.dispatch(["finetune", str(tmp_path / "images"), *args]) == 0
    printed = capsys.readouterr().out
    assert "new_head (small and similar): " in printed
    assert "freeze all" in printed
    assert "true \\ predicted" in printed
    assert RunConfig.load(run).transfer["reason"] in printed
    results = json.loads((Path(run) / "results.json").read_text())
    accuracy = results["metrics"]["accuracy"]
    assert re.search(rf"^accuracy +{accuracy:.3f} ", printed, re.MULTILINE)
