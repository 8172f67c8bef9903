"""The metric that chooses the best checkpoint."""

import dataclasses
import io

import pytest

from jaxcnn.experiment import ExperimentConfig, train
from jaxcnn.experiment.measure import measure_run
from jaxcnn.experiment.selection import best_metric, best_mode
from jaxcnn.run import RunConfig
from jaxcnn.train import read_metrics
from tests.experiment.conftest import small


@pytest.mark.parametrize(
    ("task", "chosen", "metric", "mode"),
    [
        ("classification", None, "accuracy", "max"),
        ("classification", "loss", "loss", "min"),
        ("classification", "quadratic_kappa", "quadratic_kappa", "max"),
        ("capsules", None, "accuracy", "max"),
        ("reconstruction", None, "loss", "min"),
        ("reconstruction", "loss", "loss", "min"),
    ],
)
def test_metric_and_what_is_better(task, chosen, metric, mode):
    config = ExperimentConfig(task=task, best_metric=chosen)
    assert (best_metric(config), best_mode(config)) == (metric, mode)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best_metric": "quadratic_kapa"}, "Did you mean 'quadratic_kappa'"),
        ({"best_metric": "accuracy", "task": "reconstruction"}, "needs classes"),
        (
            {"best_metric": "quadratic_kappa", "task": "reconstruction"},
            "is for the task 'classification', got 'reconstruction'",
        ),
    ],
)
def test_metrics_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        best_metric(ExperimentConfig(**changes))


@pytest.mark.thorough
def test_kappa_is_recorded_chosen_by_and_measured(tmp_path):
    config = dataclasses.replace(small(tmp_path), best_metric="quadratic_kappa")
    result = train(config, file=io.StringIO())
    records = [
        r for r in read_metrics(tmp_path / "metrics") if r["split"] == "validation"
    ]
    best = max(records, key=lambda r: r["quadratic_kappa"])
    assert set(result.metrics) == {"loss", "accuracy", "quadratic_kappa"}
    assert RunConfig.load(tmp_path).best == "quadratic_kappa"
    assert result.tested_step == best["step"]
    step, again = measure_run(tmp_path, config.data.test_split)
    assert (step, again) == (result.tested_step, pytest.approx(result.metrics))
