"""Meshes, sharded state and batch statistics from the configuration."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.experiment import ExperimentConfig, ShardingConfig, train, training
from jaxcnn.experiment.build import build
from jaxcnn.experiment.flags import parse_config
from jaxcnn.run import load_run
from jaxcnn.train import read_metrics
from tests.experiment.conftest import small

HYBRID = {"data": 2, "fsdp": 4}


def sharded(directory, **changes):
    options = {"mesh": HYBRID, "sharding": ShardingConfig(min_size=64), **changes}
    return small(directory, parallel="mesh", **options)


def quietly(config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_results", lambda *args: None)
        patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return train(config, file=io.StringIO())


def specs(state):
    return [getattr(leaf.sharding, "spec", None) for leaf in jax.tree.leaves(state)]


def losses(directory):
    records = read_metrics(Path(directory) / "metrics")
    return [record["loss"] for record in records]


def test_the_flags_and_the_file_hold_mesh_sharding_and_groups():
    config = parse_config(
        ExperimentConfig(),
        [
            *("--parallel", "mesh", "--mesh", '{"data": 2, "fsdp": -1}'),
            *("--sharding.min-size", "64", "--sharding.rules", '[["^head/", null]]'),
            *("--sharding.axis", "data", "--batch-statistics", "32"),
        ],
        prog="test",
    )
    assert config.mesh == {"data": 2, "fsdp": -1}
    assert config.sharding == ShardingConfig(64, [["^head/", None]], "data")
    assert config.batch_statistics == "32"
    assert ExperimentConfig.from_json(config.to_json()) == config


def test_the_state_to_restore_into_is_shapes_with_their_shardings(tmp_path):
    experiment = build(sharded(tmp_path / "run"))
    target = experiment.abstract_state()
    leaves = jax.tree.leaves(target)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    split = [spec for spec in specs(target) if spec != PartitionSpec()]
    # The kernels of the second convolution and the head, and two moments of each.
    assert len(split) == 6
    for leaf in jax.tree.leaves(build(small(tmp_path / "run")).abstract_state()):
        assert leaf.sharding is None


@pytest.mark.thorough
def test_a_sharded_run_is_that_of_one_device_and_goes_on(finished, tmp_path):
    directory = tmp_path / "run"
    quietly(sharded(directory, steps=8))
    result = quietly(sharded(directory))
    last = losses(finished[0].directory)[-2:], losses(directory)[-2:]
    np.testing.assert_allclose(*last, rtol=1e-3)  # of validation and of training
    assert result.metrics == pytest.approx(finished[0].metrics, rel=1e-3)
    assert any(
        spec == PartitionSpec(None, None, None, "fsdp") for spec in specs(result.state)
    )
    run, other = load_run(directory), load_run(finished[0].directory)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        run.variables,
        other.variables,
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changes",
    [
        {"parallel": "jit", "mesh": {}, "sharding": ShardingConfig()},
        {"mesh": {"fsdp": -1}, "sharding": ShardingConfig(rules=[["head/kernel", 0]])},
        {"sharding": ShardingConfig()},
    ],
    ids=["one device", "another mesh", "copies"],
)
def test_a_sharded_run_goes_on_in_another_layout(tmp_path, changes):
    directory = tmp_path / "run"
    quietly(sharded(directory, steps=8))
    with Checkpoints(directory / "checkpoints") as checkpoints:
        before = checkpoints.restore(step=8).state["params"]
    config = dataclasses.replace(sharded(directory), **changes)
    result = quietly(config)
    assert result.complete
    assert not np.array_equal(
        before["head"]["kernel"], np.asarray(result.state.params["head"]["kernel"])
    )


@pytest.mark.thorough
def test_early_stopping_puts_the_best_back_into_its_parts(tmp_path):
    config = sharded(tmp_path / "run", patience=1, min_delta=10.0)
    result = quietly(config)
    assert result.stop_reason is not None
    assert PartitionSpec(None, None, None, "fsdp") in specs(result.state.params)


@pytest.mark.thorough
@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_statistics_by_device_are_those_of_groups_on_one(tmp_path, parallel):
    """Batches of 32 on eight devices: groups of four. The run has no dropout."""
    one = quietly(small(tmp_path / "one", batch_statistics="4"))
    config = small(tmp_path / "many", parallel=parallel, batch_statistics="device")
    many = quietly(config)
    np.testing.assert_allclose(losses(one.directory), losses(many.directory), rtol=1e-3)


@pytest.mark.thorough
def test_a_run_does_not_go_on_with_other_groups(finished, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(finished[0].directory, directory)
    message = "batch_statistics: was 'global', now '8'"
    with pytest.raises(ValueError, match=message):
        quietly(small(directory, batch_statistics="8"))
    values = json.loads((directory / "config.json").read_text())
    values["experiment"]["batch_statistics"] = "device"
    values["batch_groups"] = 4
    (directory / "config.json").write_text(json.dumps(values))
    message = "batch_statistics 'device': was over 4 groups of a batch, now over 8"
    with pytest.raises(ValueError, match=message):
        quietly(small(directory, parallel="mesh", batch_statistics="device"))


BAD = {
    "mesh is for parallel 'mesh', got parallel 'jit'": {"mesh": {"data": 8}},
    r"axes of mesh=\{'data': 4\} make 4 devices, but there are 8": {
        "parallel": "mesh",
        "mesh": {"data": 4},
    },
    "does not fit 8 devices: its axes make 3": {
        "parallel": "mesh",
        "mesh": {"data": 3, "fsdp": -1},
    },
    "'data' must be 1 or more, or -1 for the rest, got 'all'": {
        "parallel": "mesh",
        "mesh": {"data": "all"},
    },
    "sharding is for parallel 'mesh', got parallel 'pmap'": {
        "parallel": "pmap",
        "sharding": ShardingConfig(64),
    },
    "sharding.axis is 'fsdp', but the mesh has the axes data": {
        "parallel": "mesh",
        "sharding": ShardingConfig(64),
    },
    r"sharding.axis is 'fsd', but.*data, fsdp. Did you mean 'fsdp'\?": {
        "parallel": "mesh",
        "mesh": HYBRID,
        "sharding": ShardingConfig(64, axis="fsd"),
    },
    "sharding: min_size must be 1 or more, got 0": {
        "parallel": "mesh",
        "mesh": HYBRID,
        "sharding": ShardingConfig(0),
    },
    r"sharding: rules\[0\] must be a pair": {
        "parallel": "mesh",
        "mesh": HYBRID,
        "sharding": ShardingConfig(rules=["kernel"]),
    },
    r"rules\[0\]='haed' matches none of the parameters: .*head/kernel": {
        "parallel": "mesh",
        "mesh": HYBRID,
        "sharding": ShardingConfig(rules=[["haed", 0]]),
    },
    r"axis 1 of 'head/kernel', .* the 4 devices of 'fsdp', which do not divide 10": {
        "parallel": "mesh",
        "mesh": HYBRID,
        "sharding": ShardingConfig(rules=[["head/kernel", 1]]),
    },
    "batch_statistics: .*got 'devise'. Did you mean 'device'?": {
        "batch_statistics": "devise"
    },
    "groups of 5 need a multiple of it: data.batch_size is 32": {
        "batch_statistics": "5"
    },
    "groups of 8 need a multiple of it: a device's share is 4": {
        "parallel": "pmap",
        "batch_statistics": "8",
    },
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_configuration_is_one_clear_error(message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        quietly(small(tmp_path / "run", **BAD[message]))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
