"""Runs on resident data, and what results.json says of how a run computed."""

import dataclasses
import json
from pathlib import Path

import jax
import pytest

from jaxcnn.data import ResidentData
from jaxcnn.experiment import ExperimentConfig, train
from jaxcnn.experiment.build import build
from jaxcnn.experiment.checks import validate
from jaxcnn.run import RunConfig
from jaxcnn.train import read_metrics
from tests.experiment.conftest import small
from tests.experiment.test_training import quietly
from tests.train.nets import assert_close, assert_same


def resident(config, steps_per_call=None):
    data = dataclasses.replace(config.data, resident=True)
    return dataclasses.replace(config, data=data, steps_per_call=steps_per_call)


@pytest.mark.thorough
def test_a_resident_run_is_the_run_from_the_host(finished, tmp_path):
    result, _ = quietly(resident(small(tmp_path / "run")))
    assert_same(result.state, finished[0].state)
    assert result.metrics == finished[0].metrics


@pytest.mark.thorough
def test_a_run_of_several_steps_a_call_goes_on_where_it_stopped(finished, tmp_path):
    config = resident(small(tmp_path / "run"), 4)
    quietly(dataclasses.replace(config, steps=6))
    result, _ = quietly(config)
    assert_close(result.state, finished[0].state, 1e-4)
    records = read_metrics(tmp_path / "run" / "metrics")
    # Calls end after 4, 6 (the first start), 7 (an epoch), 11 and 12 steps: what was
    # due within one is made at its end.
    assert [r["step"] for r in records if r["split"] == "train"] == [6, 11, 12]
    assert [r["step"] for r in records if r["split"] == "validation"] == [6, 12]
    settings = json.loads((tmp_path / "run" / "results.json").read_text())["settings"]
    assert (settings["data"], settings["steps_per_call"]) == ("resident", 4)


def test_results_say_how_a_run_computed(finished):
    path = Path(finished[0].directory) / "results.json"
    settings = json.loads(path.read_text())["settings"]
    assert settings["platform"] == "cpu"
    assert settings["compute_dtype"] == settings["param_dtype"] == "float32"
    assert settings["image_dtype"] == "uint8"
    assert settings["layout"].startswith("NHWC")
    assert (settings["data"], settings["steps_per_call"]) == ("from the host", 1)
    assert settings["compiled_kept"] is True  # by the tests' own folder
    assert "device_count=8" in settings["flags"]["XLA_FLAGS"]
    assert settings["options"]["jax_default_matmul_precision"] == "float32"


def test_an_older_configuration_is_read():
    values = ExperimentConfig().to_json()
    for name in ("steps_per_call", "keep_compiled", "keep_memory"):
        del values[name]
    del values["data"]["resident"]
    assert ExperimentConfig.from_json(values) == ExperimentConfig()


def test_what_resident_data_cannot_do_is_refused(tmp_path):
    config = small(tmp_path / "run")
    with pytest.raises(ValueError, match=r"steps_per_call is 4: it needs data\.resid"):
        validate(dataclasses.replace(config, steps_per_call=4))
    with pytest.raises(ValueError, match="steps_per_call must be above 0, got 0"):
        validate(resident(config, 0))
    with pytest.raises(ValueError, match="not 'pmap'"):
        validate(dataclasses.replace(resident(config), parallel="pmap"))
    with pytest.raises(ValueError, match="debug_nans looks at single steps"):
        validate(dataclasses.replace(resident(config, 2), debug_nans=True))
    with pytest.raises(ValueError, match="profile looks at single steps"):
        validate(dataclasses.replace(resident(config), profile="1:2"))
    lazy = dataclasses.replace(config.data, decode="lazy", image_size=8, resident=True)
    with pytest.raises(ValueError, match=r"data\.resident needs data\.decode 'memory'"):
        validate(dataclasses.replace(config, data=lazy))


def test_a_run_says_that_it_was_resident(tmp_path):
    experiment = build(resident(small(tmp_path / "run"), 3))
    assert isinstance(experiment.train, ResidentData)
    assert experiment.train.steps_per_call == 3
    assert experiment.run_config.experiment["data"]["resident"] is True


def test_a_run_may_not_change_to_resident_data_midway(finished, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    RunConfig.load(finished[0].directory).save(folder)
    with pytest.raises(ValueError, match=r"data\.resident: was False, now True"):
        train(resident(small(folder)))
    assert jax.config.jax_enable_compilation_cache
