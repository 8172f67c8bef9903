import dataclasses
import math

import pytest

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.flags import parse_config


def parse(*args):
    return parse_config(ExperimentConfig(), list(args), prog="jaxcnn train")


def test_flags_change_the_default():
    config = parse("--steps", "5", "--model.args", '{"dropout": 0.5}', "--seed=3")
    assert (config.steps, config.seed) == (5, 3)
    assert config.model == ModelConfig("lenet", {"dropout": 0.5})
    assert parse() == ExperimentConfig()


def test_short_names():
    config = parse("--model", "cnn", "--data", "mnist", "--optimizer", "adam")
    assert (config.model.name, config.data.name) == ("cnn", "mnist")
    assert config.optimizer.name == "adam"


def test_several_augmentations():
    config = parse("--data.augment", "random_flip", "pad_crop(padding=4)")
    assert config.data.augment == ("random_flip", "pad_crop(padding=4)")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--stpes", "5"], r"Unrecognized options: --stpes, 5. Did you mean --steps\?"),
        (["--steps", "x"], "Error parsing --steps"),
        (["--parallel", "all"], "invalid choice 'all' for argument '--parallel'"),
        (["--precision", "half"], "invalid choice 'half' for argument '--precision'"),
        (["--bfloat16"], "Unrecognized options: --bfloat16"),
        (["--model.args", "[1]"], r"expected a JSON object, got \[1\]"),
        (["--model.args", "{"], "Error parsing --model.args"),
    ],
)
def test_bad_flags_are_one_line(args, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(*args)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("See jaxcnn train --help.")


def test_help_names_every_field(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(ExperimentConfig):
        assert f"--{field.name.replace('_', '-')}" in text.replace("╭─ ", "--")


def test_json_gives_the_same_configuration_back():
    config = ExperimentConfig(
        model=ModelConfig("cnn", {"features": [4, 8]}),
        data=DataConfig(augment=("random_flip",)),
        optimizer=OptimizerConfig(options={"momentum": 0.5}),
        steps=7,
    )
    assert ExperimentConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(("old", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_a_file_from_before_precision(old, precision):
    values = ExperimentConfig(steps=7).to_json()
    del values["precision"], values["accumulate"]
    values["bfloat16"] = old
    config = ExperimentConfig.from_json(values)
    assert config == ExperimentConfig(steps=7, precision=precision)
    assert values["bfloat16"] is old  # the file's values are not changed


def test_precision_and_accumulation_are_flags():
    config = parse("--precision", "float16", "--accumulate", "4")
    assert (config.precision, config.accumulate) == ("float16", 4)


def test_an_unknown_field_in_a_file():
    values = ExperimentConfig().to_json()
    values["data"]["bach_size"] = 3
    with pytest.raises(
        ValueError, match=r"no field 'bach_size'. Did you mean 'batch_size'\?"
    ):
        ExperimentConfig.from_json(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0, got 0"),
        ({"epochs": math.inf}, "epochs must be finite, got inf"),
        ({"seed": -1}, r"seed must be in \[0, 2\*\*32\), got -1"),
        ({"seed": 2**32}, r"seed must be in \[0, 2\*\*32\), got 4294967296"),
        ({"data": DataConfig(noise=math.nan)}, "data.noise must be 0 or more, got nan"),
        ({"steps": 0}, "steps must be above 0, got 0"),
        ({"log_every": 0}, "log_every must be above 0, got 0"),
        ({"eval_every": 0}, "eval_every must be above 0, got 0"),
        ({"save_every": -1}, "save_every must be above 0, got -1"),
        ({"time_limit": 0.0}, "time_limit must be above 0, got 0"),
        ({"accumulate": 0}, "accumulate must be above 0, got 0"),
        (
            {"precision": "half"},
            r"precision='half' is unknown. .*'float32', 'bfloat16'",
        ),
        ({"patience": -1}, "patience must be 0 or more, got -1"),
        ({"data": DataConfig(batch_size=0)}, "data.batch_size must be above 0, got 0"),
        (
            {"data": DataConfig(eval_batch_size=0)},
            "data.eval_batch_size must be above 0, got 0",
        ),
        ({"data": DataConfig(noise=-1)}, "data.noise must be 0 or more, got -1"),
        (
            {"optimizer": OptimizerConfig(learning_rate=0)},
            "optimizer.learning_rate must be above 0, got 0",
        ),
        (
            {"patience": 2, "data": DataConfig(validation=0)},
            "patience needs a validation part",
        ),
        ({"task": "reconstruction"}, "data.standardize is for classification"),
        ({"task": "capsules"}, "data.standardize is for classification"),
        (
            {
                "task": "capsules",
                "data": DataConfig(standardize=False),
                "label_smoothing": 0.1,
            },
            "label_smoothing is for the task 'classification'",
        ),
        (
            {"data": DataConfig(noise=0.5)},
            "data.noise is for the task 'reconstruction'",
        ),
        ({"fresh": False, "overwrite": True}, "overwrite needs fresh"),
    ],
)
def test_numbers_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        validate(dataclasses.replace(ExperimentConfig(), **change))
