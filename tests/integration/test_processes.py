"""Two processes of four devices equal one process of eight."""

import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import read_metrics

ROOT = Path(__file__).parents[2]


def start(processes, dropout, out):
    """Starts the processes of `worker.py` and waits until all have ended well."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.worker"),
                *(address, str(processes), str(index), str(dropout), str(out)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(processes)
    ]
    for worker in workers:
        output, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0, output


def run(processes, dropout, out):
    start(processes, dropout, out)
    return dict(np.load(out))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "dropout", [pytest.param(0.0, marks=pytest.mark.slow), 0.5, "sharded"]
)
def test_two_processes_equal_one(tmp_path, dropout):
    one = run(1, dropout, tmp_path / "one.npz")
    two = run(2, dropout, tmp_path / "two.npz")
    assert one.keys() == two.keys()
    assert any(name.startswith("metric_") for name in one)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=1e-5)


def contents(folder):
    """Returns the losses of all records and the parameters of the last checkpoint."""
    losses = [record["loss"] for record in read_metrics(folder / "metrics")]
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return losses, checkpoints.restore(step="latest").state["params"]


@pytest.mark.slow
def test_a_whole_run_of_two_processes_equals_that_of_one(tmp_path):
    """Started once more in its folder, it goes on from its last step: nothing to do."""
    start(1, "run", tmp_path / "one")
    for _ in range(2):
        start(2, "run", tmp_path / "two")
    losses, params = contents(tmp_path / "one")
    others, other_params = contents(tmp_path / "two")
    np.testing.assert_allclose(losses, others, rtol=1e-3)
    for a, b in zip(
        jax.tree.leaves(params), jax.tree.leaves(other_params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3)
