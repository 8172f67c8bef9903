import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from jaxcnn.experiment import ExperimentConfig, train
from jaxcnn.experiment.build import build
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.observing import throughput_of
from jaxcnn.models.summary import summarize
from jaxcnn.train import read_metrics, read_reports
from tests.experiment.conftest import small
from tests.experiment.test_training import quietly


@pytest.mark.thorough
def test_a_run_says_what_its_compilation_and_its_time_were(finished):
    result, printed = finished
    first, *_ = (line for line in printed.splitlines() if "compiled" in line)
    assert first.startswith("compiled in ")
    assert "\ntime: " in printed
    assert set(result.reports) == {"compile", "speed", "time"}
    saved = json.loads((Path(result.directory) / "results.json").read_text())
    assert saved["compile_of_last_start"] == result.reports["compile"]
    assert saved["time_of_last_start"]["hooks/Evaluate"] > 0
    assert "mfu" not in saved["speed_of_last_start"]  # no peak of a CPU is known
    kinds = [r["report"] for r in read_reports(Path(result.directory) / "metrics")]
    assert kinds == ["compile", "speed", "speed", "speed", "time"]


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A run with a trace and a look at the layers, done in two starts."""
    directory = tmp_path_factory.mktemp("observed") / "run"
    config = small(directory, steps=4, profile="1:2", layer_statistics=2)
    config = dataclasses.replace(config, peak_flops=1e12, parallel="mesh")
    quietly(config)
    # Neither option is part of what a run is: it goes on without, or with another.
    return quietly(dataclasses.replace(config, steps=6, profile=None), pictures=True)


@pytest.mark.thorough
def test_a_run_folder_holds_the_trace_and_the_layers(observed):
    folder = Path(observed[0].directory)
    assert list((folder / "profile").rglob("perfetto_trace.json.gz"))
    records = read_metrics(folder / "statistics")
    assert [r["step"] for r in records] == [2, 4, 6]
    assert list(records[0]["layers"])[-1] == "head"
    assert (folder / "statistics.png").stat().st_size > 0


@pytest.mark.thorough
def test_the_utilisation_is_that_of_the_speed(observed):
    speed = observed[0].reports["speed"]
    assert speed["images_per_second_per_device"] == speed["images_per_second"] / 8
    experiment = build(small("nowhere"))
    macs = summarize(experiment.model, (1, *experiment.train.source.image_shape)).macs
    expected = speed["images_per_second"] * 6 * macs / (8 * 1e12)
    assert speed["mfu"] == pytest.approx(expected)


@pytest.mark.thorough
def test_a_fresh_run_deletes_the_trace_and_the_layers(observed, tmp_path):
    shutil.copytree(observed[0].directory, tmp_path / "run")
    config = small(tmp_path / "run", steps=1, fresh=True, overwrite=True)
    quietly(config)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {"profile", "statistics", "statistics.png"}


def test_a_model_is_not_traced_where_no_peak_is_known():
    throughput = throughput_of(build(small("nowhere")))
    assert (throughput.macs, throughput.peak) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "10"}, "profile must be start:stop, such as 10:15"),
        ({"profile": "15:10"}, "with start below stop, got '15:10'"),
        ({"layer_statistics": 0}, "layer_statistics must be above 0, got 0"),
        ({"peak_flops": -1.0}, "peak_flops must be above 0"),
    ],
)
def test_bad_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        validate(ExperimentConfig(**change))


def test_a_window_past_the_end_stops_before_training(tmp_path):
    config = small(tmp_path / "run", profile="99:100")
    with pytest.raises(ValueError, match=r"99:100, lie past the end .* 12 steps"):
        train(config)
