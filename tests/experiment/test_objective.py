"""The loss, its class weights and the penalty, from a configuration."""

import dataclasses
import io

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.data import load_source
from jaxcnn.experiment import (
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    PenaltyConfig,
    build,
    train,
    training,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.config import DataConfig
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.measure import measure_run
from jaxcnn.losses import balanced_weights, focal_loss, softmax_cross_entropy
from jaxcnn.run import RunConfig
from jaxcnn.train import read_metrics
from tests.experiment.conftest import small

LOGITS = jnp.array([[0.0, 2.0, 1.0, *[0.0] * 7]])
BATCH = {"label": jnp.array([1]), "mask": jnp.ones(1)}


def parse(*args):
    return parse_config(ExperimentConfig(), list(args), prog="jaxcnn train")


def test_flags():
    config = parse("--loss", "focal_loss", "--loss.options", '{"gamma": 1.5}')
    assert config.loss == LossConfig("focal_loss", {"gamma": 1.5})
    assert parse("--loss.class-weights", "balanced").loss.class_weights == "balanced"
    assert parse("--loss.class-weights", "1", "2").loss.class_weights == (1.0, 2.0)
    rules = '{"^head/": {"l2": 0.001}}'
    config = parse("--penalty.l1", "1e-4", "--penalty.rules", rules)
    assert config.penalty == PenaltyConfig(l1=1e-4, rules={"^head/": {"l2": 0.001}})


@pytest.mark.parametrize("weights", ["balanced", (1.0, 2.0), None])
def test_json_gives_the_same_configuration_back(weights):
    config = ExperimentConfig(
        loss=LossConfig("focal_loss", {"gamma": 1.0}, weights),
        penalty=PenaltyConfig(l2=0.1, pattern="head"),
    )
    assert ExperimentConfig.from_json(config.to_json()) == config


def test_a_configuration_older_than_the_fields_is_read():
    values = ExperimentConfig().to_json()
    del values["loss"], values["penalty"]
    assert ExperimentConfig.from_json(values) == ExperimentConfig()


def test_the_default_is_the_plain_cross_entropy(tmp_path):
    experiment = build(small(tmp_path))
    expected = softmax_cross_entropy(LOGITS, BATCH["label"])
    np.testing.assert_array_equal(experiment.task.loss(LOGITS, BATCH), expected)
    assert experiment.run_config.class_weights == ()


def test_a_loss_by_name(tmp_path):
    loss = LossConfig("focal_loss", {"gamma": 1.0}, (1.0, 3.0, *[1.0] * 8))
    task = build(small(tmp_path, loss=loss)).task
    expected = 3 * focal_loss(LOGITS, BATCH["label"], gamma=1.0)
    np.testing.assert_allclose(task.loss(LOGITS, BATCH), expected, rtol=1e-6)


def test_balanced_weights_are_those_of_the_training_part(tmp_path):
    model = ModelConfig("cnn", args={"features": [4], "num_classes": 12})
    config = small(tmp_path, loss=LossConfig(class_weights="balanced"), model=model)
    weights = build(config).run_config.class_weights
    labels = load_source("digits", "train[:240]", validation=0.2).labels
    assert weights == balanced_weights(labels, 12)
    assert weights[10:] == (1.0, 1.0)
    assert len(set(weights[:10])) > 1


@pytest.mark.thorough
def test_a_run_with_all_of_it_and_its_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "draw_results", lambda *args: None)
    monkeypatch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
    config = small(
        tmp_path / "run",
        loss=LossConfig("focal_loss", class_weights="balanced"),
        penalty=PenaltyConfig(l1=1e-4, l2=1e-3),
        steps=5,
    )
    result = train(config, file=io.StringIO())
    records = read_metrics(tmp_path / "run" / "metrics")
    logged = [record for record in records if record["split"] == "train"]
    assert logged[0]["penalty"] > 0
    assert "penalty" not in result.metrics  # it is no measure of the images
    # The weights are kept with the run: measuring it needs no training part.
    assert len(RunConfig.load(tmp_path / "run").class_weights) == 10
    _, measured = measure_run(tmp_path / "run", config.data.test_split)
    assert measured["loss"] == pytest.approx(result.metrics["loss"], rel=1e-5)
    plain = dataclasses.replace(config, loss=LossConfig("focal_loss"))
    with pytest.raises(ValueError, match=r"loss.class_weights: was 'balanced', now No"):
        train(plain, file=io.StringIO())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": LossConfig("focal")}, r"Did you mean 'focal_loss'\?"),
        ({"loss": LossConfig("huber")}, "Unknown loss 'huber'"),
        (
            {"loss": LossConfig("focal_loss"), "label_smoothing": 0.1},
            "'focal_loss' has no argument 'label_smoothing'",
        ),
        (
            {"loss": LossConfig(class_weights=(1.0, 2.0))},
            "loss.class_weights holds 2 weights, but there are 10 classes",
        ),
        ({"penalty": PenaltyConfig(l1=-1.0)}, "l1 of the penalty must be a finite"),
        ({"penalty": PenaltyConfig(l1=1.0, pattern="(")}, "not a regular expression"),
    ],
)
def test_build_refuses(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        build(small(tmp_path, **changes))


@pytest.mark.parametrize(
    ("task", "loss", "message"),
    [
        ("classification", LossConfig(options={"gamma": 1}), "need the loss by name"),
        ("capsules", LossConfig("margin_loss"), "'capsules' has its own loss"),
        (
            "reconstruction",
            LossConfig(class_weights="balanced"),
            "class_weights are for the task 'classification'",
        ),
    ],
)
def test_validate_refuses(task, loss, message):
    data = DataConfig(standardize=False)
    with pytest.raises(ValueError, match=message):
        validate(ExperimentConfig(task=task, loss=loss, data=data))
