import dataclasses
import io
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.experiment import build, train, training
from jaxcnn.experiment.measure import measure_run
from jaxcnn.run import load_run
from jaxcnn.train import NonFiniteError, read_metrics
from jaxcnn.tree import flatten_named
from tests.experiment.conftest import small


def quietly(config):
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_results", lambda *args: None)
        patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return train(config, file=file), file.getvalue()


@pytest.fixture(scope="module")
def averaging(tmp_path_factory):
    """Returns the result of a finished run that averaged its weights."""
    return quietly(small(tmp_path_factory.mktemp("ema") / "run", ema=0.8))[0]


def saved(directory, name):
    """Returns the leaves of the newest checkpoint under a name."""
    with Checkpoints(Path(directory) / "checkpoints") as checkpoints:
        state = flatten_named(checkpoints.restore().state)
    state["rng"] = jax.random.key_data(state["rng"])
    return {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}


def assert_equal(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


@pytest.mark.thorough
def test_a_run_is_used_by_its_average(averaging):
    folder = averaging.directory
    average = load_run(folder, step="latest")
    raw = load_run(folder, step="latest", raw=True)
    params = flatten_named(average.variables["params"])
    assert_equal(params, saved(folder, "extras/ema/params/"))
    assert_equal(flatten_named(raw.variables["params"]), saved(folder, "params/"))
    statistics = flatten_named(average.variables["batch_stats"])
    assert_equal(statistics, saved(folder, "extras/ema/model_state/batch_stats/"))
    assert (params["head/kernel"] != raw.variables["params"]["head"]["kernel"]).any()


@pytest.mark.thorough
def test_what_is_measured_is_the_average(averaging):
    folder = averaging.directory
    step, metrics = measure_run(folder, "test[:100]")
    assert step == averaging.tested_step
    assert metrics == pytest.approx(averaging.metrics, rel=1e-5)
    results = json.loads((Path(folder) / "results.json").read_text())
    assert results["metrics"] == averaging.metrics
    _, raw = measure_run(folder, "test[:100]", raw=True)
    assert abs(raw["loss"] - metrics["loss"]) > 1e-3
    records = read_metrics(Path(folder) / "metrics")
    _, last = measure_run(folder, "validation", step="latest")
    validation = [r for r in records if r["split"] == "validation"]
    assert validation[-1]["loss"] == pytest.approx(last["loss"], rel=1e-5)


def test_an_average_cannot_be_switched_on_or_off_later(averaging):
    config = small(averaging.directory, ema=0.9, steps=14)
    with pytest.raises(ValueError, match=r"ema: was 0.8, now 0.9"):
        quietly(config)
    with pytest.raises(ValueError, match=r"ema: was 0.8, now None"):
        quietly(dataclasses.replace(config, ema=None))


@pytest.mark.thorough
def test_a_run_with_an_average_resumes_exactly(averaging, tmp_path):
    config = small(tmp_path, ema=0.8, save_every=1000)
    first = quietly(dataclasses.replace(config, time_limit=1e-6))[0]
    assert first.step == 1
    second = quietly(config)[0]
    assert_equal(saved(averaging.directory, ""), saved(second.directory, ""))
    assert second.metrics == averaging.metrics


class Poisoned:
    """Batches that are infinite where they are told to be."""

    def __init__(self, data, numbers):
        self.data, self.numbers = data, numbers
        self.steps_per_epoch, self.seed = data.steps_per_epoch, data.seed
        self.source = data.source

    def __getitem__(self, k):
        batch = self.data[k]
        images = batch["image"].astype(np.float32) / 255
        images[7, 3] += np.inf if k in self.numbers else 0
        return {**batch, "image": images}


def run_poisoned(config, numbers):
    def poisoned(config):
        experiment = build(config)
        data = Poisoned(experiment.train, numbers)
        return dataclasses.replace(experiment, train=data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build", poisoned)
        return quietly(config)


def events_of(directory):
    records = read_metrics(Path(directory) / "metrics")
    return [
        (r["step"], r["batch"], r["seed"], r["action"])
        for r in records
        if r["split"] == "nonfinite"
    ]


@pytest.mark.thorough
def test_a_run_that_stopped_may_go_on_by_skipping(tmp_path):
    config = small(tmp_path, steps=8, debug_nans=True, seed=5)
    with pytest.raises(NonFiniteError, match=r"what stage1_conv1 \(.*in example 7 of"):
        run_poisoned(config, {5})
    assert events_of(tmp_path) == [(6, 5, 5, "stop")]
    config = dataclasses.replace(config, on_nonfinite="skip", debug_nans=False)
    result, printed = run_poisoned(config, {5})
    assert "from step 4 of 8" in printed
    assert "step      6  not finite: batch 5 of seed 5; left out" in printed
    assert events_of(tmp_path) == [(6, 5, 5, "skip")]
    assert result.complete
    assert np.isfinite(result.metrics["loss"])


@pytest.mark.thorough
@pytest.mark.parametrize("parallel", ["jit", "mesh"])
def test_a_run_that_rolls_back_resumes_exactly(tmp_path, parallel):
    options = {"on_nonfinite": "rollback", "parallel": parallel, "ema": 0.9}
    whole = small(tmp_path / "whole", **options)
    run_poisoned(whole, {2, 9})
    parts = small(tmp_path / "parts", **options)
    run_poisoned(dataclasses.replace(parts, time_limit=1e-6), {2, 9})
    for steps in (5, 10, 12):
        run_poisoned(dataclasses.replace(parts, steps=steps), {2, 9})
    assert events_of(tmp_path / "whole") == events_of(tmp_path / "parts")
    assert len(events_of(tmp_path / "whole")) == 2
    assert_equal(saved(tmp_path / "whole", ""), saved(tmp_path / "parts", ""))


@pytest.mark.thorough
def test_too_many_rollbacks(tmp_path):
    config = small(tmp_path, on_nonfinite="rollback", nonfinite_limit=1)
    with pytest.raises(NonFiniteError, match=r"left out before: 1\."):
        run_poisoned(config, {1, 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nonfinite_limit": 0}, "nonfinite_limit must be 1 or more, got 0"),
        ({"ema": 1.0}, r"ema: The decay .* must be in \[0, 1\), got 1.0"),
        ({"ema": 0.9, "ema_every": 0}, "ema: every must be a whole number .* got 0"),
        ({"ema_every": 2}, "need an average: set ema"),
        ({"ema_warmup": False}, "need an average: set ema"),
    ],
)
def test_bad_options(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(small(tmp_path, **changes))


def test_the_default_has_no_averages(tmp_path):
    experiment = build(small(tmp_path))
    assert jax.eval_shape(experiment.init_state).extras == {}
    assert not experiment.run_config.averaged
