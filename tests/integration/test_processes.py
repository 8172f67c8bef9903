"""Two processes of four devices equal one process of eight."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def run(processes, dropout, out):
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
    return dict(np.load(out))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_two_processes_equal_one(tmp_path, dropout):
    one = run(1, dropout, tmp_path / "one.npz")
    two = run(2, dropout, tmp_path / "two.npz")
    assert one.keys() == two.keys()
    assert any(name.startswith("metric_") for name in one)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=1e-5)
