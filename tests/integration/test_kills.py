"""A run killed at any step and resumed ends bit-equal to one that was never killed."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.run import load_run
from jaxcnn.train import read_metrics

ROOT = Path(__file__).parents[2]
KILLED = -9


def start(directory, where=""):
    """Starts the run once and returns how it ended."""
    command = [sys.executable, "-m", "tests.integration.training", directory, where]
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def contents(directory):
    """Returns all arrays of the last checkpoint by name, and the records."""
    with Checkpoints(directory / "checkpoints") as checkpoints:
        restored = checkpoints.restore(step="latest")
    records = [
        {k: v for k, v in record.items() if k not in ("time", "seconds")}
        for record in read_metrics(directory / "metrics")
    ]
    values = {k: v for k, v in restored.info.items() if k != "data"}
    return restored.step, restored.state, values, records


def assert_same_tree(one, two):
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same_tree(one[name], two[name])
    elif isinstance(one, jax.Array):  # the typed key
        np.testing.assert_array_equal(
            jax.random.key_data(one), jax.random.key_data(two)
        )
    else:
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    directory = tmp_path_factory.mktemp("unbroken") / "run"
    ended = start(directory)
    assert ended.returncode == 0, ended.stderr
    return directory


def check(directory, kills, unbroken):
    for where in kills:
        ended = start(directory, where)
        code = 0 if where.startswith("term") else KILLED
        assert ended.returncode == code, ended.stderr
    ended = start(directory)
    assert ended.returncode == 0, ended.stderr
    step, state, values, records = contents(directory)
    whole_step, whole_state, whole_values, whole_records = contents(unbroken)
    assert step == whole_step == 30
    assert_same_tree(state, whole_state)
    assert values == whole_values
    assert records == whole_records
    return ended.stderr


def test_killed_amid_an_epoch_and_amid_a_save(tmp_path, unbroken):
    """One run, killed twice, lock and leftovers of the killed in its way; then SIGTERM.

    Step 17 is amid an epoch, a window of the training log and two checkpoints.
    """
    told = check(tmp_path / "run", ["step:9", "saving:14", "term:17"], unbroken)
    assert "from step 17 of 30" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills",
    [
        ["step:1"],
        ["writing:2"],
        ["saving:2", "step:3", "step:4", "step:5"],
        ["deleting:4", "saving:10"],
        ["saving:5", "step:29", "step:30"],
        ["term:15", "term:30"],
        *([f"step:{k}"] for k in range(6, 28, 3)),
    ],
    ids=",".join,
)
def test_killed_anywhere(tmp_path, unbroken, kills):
    check(tmp_path / "run", kills, unbroken)


def test_the_run_folder_is_enough_to_use_the_model(unbroken):
    run = load_run(unbroken)
    probabilities = run.predict(np.zeros((3, 28, 28, 1), np.uint8))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert {p.name for p in unbroken.iterdir()} >= {
        "config.json",
        "checkpoints",
        "metrics",
        "curves.png",
        "predictions.png",
        "results.json",
    }
