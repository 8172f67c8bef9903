"""What `jaxcnn diagnose` reads of a run folder, and what it says."""

import dataclasses
import json
import re
import shlex
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import cli
from jaxcnn.diagnostics import ADVICE
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    Result,
    run,
)
from jaxcnn.experiment.diagnosis import (
    diagnose_run,
    raised_by,
    validation_examples,
    verdict_line,
)
from jaxcnn.experiment.objective import make_task
from jaxcnn.run import RunConfig
from tests.experiment.conftest import small


def run_config(config=None, **changes):
    config = config or ExperimentConfig()
    values = {
        "model": config.model.name,
        "model_args": {"num_classes": 10, **config.model.args},
        "task": config.task,
        "image_shape": (8, 8, 1),
        "class_names": tuple("0123456789"),
        "experiment": config.to_json(),
    }
    return RunConfig(**values | changes)


def records(epochs=20, rise=0.05, metric="loss"):
    """Returns the records of a run whose validation turns at epoch 8."""
    made = []
    for epoch in range(1, epochs + 1):
        train = 2.3 * np.exp(-epoch / 3)
        validation = 0.4 + 1.9 * np.exp(-epoch / 1.5) + rise * max(epoch - 8, 0)
        for split, loss in (("train", train), ("validation", validation)):
            value = loss if metric == "loss" else 1 - loss / 3
            place = {"step": 10 * epoch, "epoch": float(epoch), "split": split}
            made.append({**place, metric: float(value), "time": 0.0})
    return made


def write(folder, lines, start=0, number=0):
    (folder / "metrics").mkdir(parents=True, exist_ok=True)
    lines = [{"start": start, "time": 0.0}, *lines]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics" / f"{number:05d}.jsonl").write_text(text)


@pytest.fixture
def overfitted(tmp_path):
    """Returns a run folder whose curves show overfitting from epoch 8 on."""
    run_config().save(tmp_path)
    write(tmp_path, records())
    return tmp_path


def call(capsys, *args):
    assert cli.dispatch(["diagnose", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_the_verdict_of_a_run_is_printed(overfitted, capsys):
    text = call(capsys, overfitted)
    begins = re.match(r"Overfitting, from epoch (\d+) on", text)
    assert abs(int(begins[1]) - 8) <= 1
    assert "--patience" in text
    assert "of what guessing gets (2.3)" in text


def test_json_holds_the_verdict_and_all_numbers(overfitted, capsys):
    values = json.loads(call(capsys, overfitted, "--json"))
    assert values["case"] == "overfitting"
    assert values["metric"] == "loss"
    assert values["measures"]["rise"] > 0.5
    assert values["advice"][0]["how"].startswith("--patience")


def test_the_picture_is_written(overfitted, capsys):
    call(capsys, overfitted, "-o", overfitted / "curves.png")
    assert (overfitted / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_of_accuracies_alone_is_judged_by_its_errors(tmp_path, capsys):
    run_config().save(tmp_path)
    write(tmp_path, records(metric="accuracy"))
    found = diagnose_run(tmp_path)
    assert found.metric == "accuracy"
    assert found.chance == pytest.approx(0.9)
    assert found.diagnosis.case == "overfitting"
    assert "the training error rate is" in call(capsys, tmp_path)


@pytest.mark.parametrize(
    ("data", "trained", "expected"),
    [
        (DataConfig(validation=0.1), 900, 100),
        (DataConfig(validation=40), 900, 40),
        (DataConfig(folds=5), 800, 200),
        (DataConfig(validation=0.0), 900, None),
        (DataConfig(), None, None),
    ],
)
def test_the_validation_examples_are_counted(data, trained, expected):
    config = dataclasses.replace(ExperimentConfig(), data=data)
    run = run_config(config, data={} if trained is None else {"examples": trained})
    assert validation_examples(run, config) == expected


def test_of_few_validation_examples_only_their_number_is_said(tmp_path, capsys):
    run_config(data={"examples": 90}).save(tmp_path)
    write(tmp_path, records())
    text = call(capsys, tmp_path)
    assert text.startswith("The validation set is too small")
    assert "has 10 examples: one is 10.0% of the accuracy" in text


def test_a_resumed_run_is_read_as_one(overfitted, tmp_path):
    made = records()
    resumed = tmp_path / "resumed"
    run_config().save(resumed)
    # Killed behind epoch 13, and made again from a checkpoint of epoch 9.
    write(resumed, made[:26])
    write(resumed, made[18:], start=90, number=1)
    one, other = diagnose_run(overfitted), diagnose_run(resumed)
    assert other.diagnosis.to_json() == one.diagnosis.to_json()


def test_a_run_that_was_ended_by_nan_diverged(tmp_path):
    run_config().save(tmp_path)
    stop = {"step": 31, "epoch": 3.1, "split": "nonfinite", "action": "stop"}
    write(tmp_path, [*records(3), stop])
    assert diagnose_run(tmp_path).diagnosis.case == "diverging"
    assert "diverging" in verdict_line(tmp_path)


def test_folders_that_cannot_be_diagnosed(tmp_path, capsys):
    with pytest.raises(ValueError, match="is not a run folder"):
        cli.dispatch(["diagnose", str(tmp_path / "nowhere")])
    run_config().save(tmp_path)
    with pytest.raises(ValueError, match="holds no records yet"):
        cli.dispatch(["diagnose", str(tmp_path)])
    write(tmp_path, records(4))
    with pytest.raises(ValueError, match=r"Did you mean 'accuracy'"):
        cli.dispatch(["diagnose", str(tmp_path), "--metric", "acuracy"])
    with pytest.raises(ValueError, match="Did you mean -o"):
        cli.dispatch(["diagnose", str(tmp_path), "--outpu", "a.png"])
    assert "4 training points and 4 of validation; a verdict needs" in call(
        capsys, tmp_path
    )


def test_without_a_validation_part_the_fit_alone_is_judged(tmp_path, capsys):
    run_config().save(tmp_path)
    write(tmp_path, [r for r in records() if r["split"] == "train"])
    assert "no validation part (--data.validation 0.1)" in call(capsys, tmp_path)
    assert verdict_line(tmp_path) is None


def test_the_verdict_ends_training_in_one_line(overfitted, monkeypatch, capsys):
    def ended(config):
        return Result(config.run_dir, 200, True, None, {}, "", 200, 1.0, None)

    # The package's `main` is the function, which hides the module of that name.
    monkeypatch.setattr(sys.modules["jaxcnn.experiment.main"], "train", ended)
    run(ExperimentConfig(run=str(overfitted)))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("The curves: overfitting, from epoch ")
    write(overfitted, records(4))
    run(ExperimentConfig(run=str(overfitted)))
    assert "The curves" not in capsys.readouterr().out


@pytest.mark.thorough
def test_a_real_run_is_judged_and_says_so_at_its_end(tmp_path, capsys):
    changes = {"steps": 16, "eval_every": 2, "log_every": 2}
    assert run(small(tmp_path / "run", **changes)) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    found = diagnose_run(tmp_path / "run").diagnosis
    assert line == f"The curves: {found.line}"
    assert found.measures.points == (8, 8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"model": ModelConfig("mlp")}, ("dropout",)),
        ({"model": ModelConfig("mlp", {"dropout": 0.0})}, ()),
        ({"data": DataConfig(augment=("random_flip",))}, ("augmentation",)),
        ({"data": DataConfig(sampling="balanced")}, ("sampling by class",)),
        ({"ema": 0.99}, ("averaged weights in validation",)),
    ],
)
def test_what_raises_the_training_loss_is_known(changes, expected):
    config = dataclasses.replace(ExperimentConfig(), **changes)
    assert raised_by(run_config(config), config) == expected


@pytest.mark.parametrize(
    ("changes", "chance"),
    [
        ({}, np.log(10)),
        ({"label_smoothing": 0.2}, np.log(10)),
        ({"loss": LossConfig(class_weights="balanced")}, np.log(10)),
        ({"loss": LossConfig(class_weights=(1.0,) * 9 + (5.0,))}, None),
        # (1 - 1/10)^2 times the cross entropy: Lin et al. 2017, equation 5.
        (
            {"loss": LossConfig("focal_loss", {"gamma": 2.0})},
            0.81 * np.log(10),
        ),
        ({"task": "capsules"}, None),
    ],
)
def test_what_guessing_gets_is_computed(tmp_path, changes, chance):
    run_config(dataclasses.replace(ExperimentConfig(), **changes)).save(tmp_path)
    write(tmp_path, records())
    assert diagnose_run(tmp_path).chance == (chance and pytest.approx(chance))


def test_the_least_loss_of_smoothed_labels_is_their_entropy(tmp_path):
    config = dataclasses.replace(ExperimentConfig(), label_smoothing=0.2)
    run_config(config).save(tmp_path)
    write(tmp_path, records())
    target = 0.8 * jax.nn.one_hot(jnp.array([3]), 10) + 0.02
    batch = {"label": jnp.array([3])}
    least = make_task(config).loss(jnp.log(target), batch)[0]
    found = diagnose_run(tmp_path).diagnosis.measures
    assert found.floor == pytest.approx(float(least), rel=1e-5)


def flags_of(config, prefix=""):
    for field in dataclasses.fields(config):
        name = prefix + field.name.replace("_", "-")
        yield f"--{name}"
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from flags_of(value, f"{name}.")


HOW = [a.how for advice in ADVICE.values() for a in advice]


@pytest.mark.parametrize("how", HOW)
def test_advice_names_flags_and_commands_that_are_there(how):
    known = {*flags_of(ExperimentConfig()), "--optimizer", "--model"}
    words = shlex.split(how)
    if words[0] == "jaxcnn":
        assert words[1].rstrip(",") in cli._COMMANDS
        if words[1] in ("finetune", "evaluate", "lr-range"):
            known |= {"--weights", "--similar", "--report", "--picture", "--html"}
            known |= {"--split"}
    flags = [word.rstrip(",") for word in words if word.startswith("--")]
    assert flags or words[0] == "jaxcnn"
    assert set(flags) <= known
