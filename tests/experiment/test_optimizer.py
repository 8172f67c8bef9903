"""Optimizers, schedules and the range test, from a configuration."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest

from jaxcnn import cli
from jaxcnn.experiment import (
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    lr_range,
    train,
    training,
)
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.lr_range import RateRange, find_learning_rate
from jaxcnn.experiment.optimizer import (
    depends_on_length,
    make_tx,
    schedule_of,
    warmup_steps,
)
from jaxcnn.plotting import learning_rate_range
from jaxcnn.train import read_metrics
from jaxcnn.tree import flatten_named
from tests.experiment.conftest import small

PARAMS = {"stem": {"kernel": np.ones((2, 2), np.float32)}}
PARAMS |= {"head": {"kernel": np.ones((2, 2), np.float32)}}


def config_of(**options):
    return ExperimentConfig(optimizer=OptimizerConfig(**options), steps=100)


def test_flags_reach_the_optimizer():
    config = parse_config(
        ExperimentConfig(),
        [
            *("--optimizer.rules", '[["^stem/", 0.5], ["^head/", null]]'),
            *("--optimizer.clip-value", "0.25", "--optimizer.lookahead", "2"),
            *("--optimizer.centralize", "--optimizer.clip-adaptive", "100"),
            *("--optimizer.lookahead-alpha", "1.0", "--optimizer.warmup", "10%"),
        ],
        prog="jaxcnn train",
    )
    assert ExperimentConfig.from_json(config.to_json()) == config
    config = dataclasses.replace(config, steps=4)
    schedule = schedule_of(config, 10)
    assert warmup_steps(dataclasses.replace(config, steps=100), 10) == 10
    tx = make_tx(config, schedule, 10)
    gradients = jax.tree.map(lambda p: np.array([[1, 1], [-1, 1]], "f4"), PARAMS)
    updates, state = tx.update(gradients, tx.init(PARAMS), PARAMS)
    got = flatten_named(updates)
    # Clipped to 0.25, centred by column, half the rate of 0.01.
    expected = -0.005 * np.array([[0.25, 0], [-0.25, 0]])
    np.testing.assert_allclose(got["stem/kernel"], expected, rtol=1e-5)
    np.testing.assert_array_equal(got["head/kernel"], 0)
    assert any("slow" in path for path in flatten_named(state))


def test_rules_that_are_no_list():
    with pytest.raises(ValueError, match="expected a JSON list, got"):
        parse_config(ExperimentConfig(), ["--optimizer.rules", "{}"], prog="x")


def test_a_rule_may_have_a_schedule_of_its_own():
    rules = [["head", {"schedule": "linear", "learning_rate": 8.0}]]
    config = config_of(learning_rate=1.0, rules=rules)
    tx = make_tx(config, schedule_of(config, 10), 10)
    state = tx.init(PARAMS)
    for head in (8.0, 7.92):
        updates, state = tx.update(PARAMS, state, PARAMS)
        got = flatten_named(updates)
        np.testing.assert_allclose(got["head/kernel"], -head * np.ones((2, 2)))
        np.testing.assert_allclose(got["stem/kernel"], -np.ones((2, 2)))
    assert depends_on_length(config.optimizer)
    assert not depends_on_length(OptimizerConfig(schedule="plateau", rules=[["a", 2]]))
    assert depends_on_length(OptimizerConfig(schedule="cosine"))


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        (
            {"schedule": "step", "schedule_options": {"every": "3 epochs"}},
            {29: 1, 30: 0.1},
        ),
        ({"warmup": "2ep"}, {0: 1 / 21, 19: 20 / 21, 20: 1}),
        ({"warmup": "80%"}, {49: 50 / 51, 50: 1}),  # cut to half of the run
        ({"warmup_epochs": 1.0}, {0: 1 / 11, 10: 1}),
        ({"schedule": "plateau"}, {0: 1, 99: 1}),
    ],
)
def test_durations_count_in_the_runs_own_epochs(options, rates):
    schedule = schedule_of(config_of(learning_rate=1.0, **options), 10)
    for step, rate in rates.items():
        np.testing.assert_allclose(schedule(step), rate, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "plateu"}, "Unknown schedule 'plateu'"),
        (
            {"schedule": "plateau", "schedule_options": {"patiance": 3}},
            r"'plateau' has no argument 'patiance'\. Did you mean 'patience'\?",
        ),
        (
            {"schedule": "plateau", "schedule_options": {"factor": 2}},
            "factor=2 must be > 0 and < 1",
        ),
        ({"warmup": "2 epocs"}, r"optimizer.warmup='2 epocs' has the unknown unit"),
        ({"rules": [["head", {"schedule": "cosin"}]]}, "Unknown schedule 'cosin'"),
        ({"rules": [["head"]]}, r"rules\[0\] must be a pair"),
    ],
)
def test_refuses(options, message):
    config = config_of(**options)
    with pytest.raises(ValueError, match=message):
        make_tx(config, schedule_of(config, 10), 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": "10%", "warmup_epochs": 1.0}, "exclude each other"),
        ({"schedule": "plateau"}, "'plateau' needs a validation part"),
    ],
)
def test_what_does_not_go_together(options, message):
    config = config_of(**options)
    data = dataclasses.replace(config.data, validation=0)
    with pytest.raises(ValueError, match=message):
        validate(dataclasses.replace(config, data=data))


@pytest.mark.thorough
def test_a_run_that_reduces_on_a_plateau_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "draw_results", lambda *args: None)
    monkeypatch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
    # A loss counts as better only if it halves: never here, so each one reduces.
    options = {"factor": 0.5, "patience": 0, "threshold": 0.5}
    optimizer = OptimizerConfig(
        "adam", 1e-3, schedule="plateau", schedule_options=options
    )
    changes = {"optimizer": optimizer, "steps": 8, "eval_every": 2, "log_every": 1}
    changes["model"] = ModelConfig("mlp", args={"hidden": [8]})
    file = io.StringIO()
    config = small(tmp_path / "run", **changes)
    train(dataclasses.replace(config, steps=4), file=file)
    ended = train(config, file=file)
    records = read_metrics(tmp_path / "run" / "metrics")
    rates = [r["learning_rate"] for r in records if r["split"] == "train"]
    np.testing.assert_allclose(rates, [1e-3] * 4 + [5e-4] * 2 + [2.5e-4] * 2, rtol=1e-6)
    state = flatten_named(ended.state.opt_state)
    assert [v for k, v in state.items() if k.endswith("factor")] == [0.125]


@pytest.mark.thorough
def test_the_range_test_finds_where_the_loss_falls_and_leaves_no_folder(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    args = ["--model", "mlp", "--optimizer", "sgd", "--low", "1e-5", "--range-steps"]
    args += ["60", "--high", "100", "--data.split", "train[:300]", "--json"]
    assert cli.dispatch(["lr-range", *args, "--picture", "range.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["range.png"]
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) <= 60
    np.testing.assert_allclose(found["rates"][0], 1e-5, rtol=1e-6)
    ratios = np.diff(np.log(found["rates"]))
    np.testing.assert_allclose(ratios, np.log(1e7) / 59, rtol=1e-6)
    assert 1e-3 < found["steepest"] < 1
    assert 1e-3 < found["min_tenth"] < 1
    assert min(found["smoothed"]) < 0.9 * found["losses"][0]


def test_the_range_test_says_what_it_found_in_one_line(monkeypatch, capsys):
    found = RateRange((0.1, 1.0), (2.0, 1.0), (2.0, 1.0), steepest=0.5, min_tenth=0.1)
    monkeypatch.setattr(lr_range, "find_learning_rate", lambda *args, **options: found)
    assert cli.dispatch(["lr-range", "--optimizer", "adam"]) == 0
    assert capsys.readouterr().out == (
        "adam: the loss falls fastest at 0.5; a tenth of where it is lowest is 0.1 "
        "(2 steps from 0.1 to 1)\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0.0}, "low and high must be finite with 0 < low < high"),
        ({"low": 1.0, "high": 0.1}, "got 1.0 and 0.1"),
        ({"steps": 5}, "range_steps must be 10 or more, got 5"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\), got 1.0"),
    ],
)
def test_the_range_test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        find_learning_rate(ExperimentConfig(), **options)


def test_a_range_that_is_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="as long as each other and not empty, got 0"):
        learning_rate_range(tmp_path / "a.png", [], [], [])
