"""The fault harness, small: it finds no fault, and every bug that is planted.

The harness is a program of its own, as a process that has used JAX cannot fork. It runs
once for all tests of a session; `make faults` is the long run.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.bugs import BUGS

ROOT = Path(__file__).parents[2]


def run_harness(folder, *arguments):
    """Returns what the harness counted; runs it unless another worker has."""
    path = folder / f"faults_{'_'.join(arguments).replace('-', '')}.json"
    with open(folder / f"{path.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            command = [sys.executable, "-m", "tests.faults", *arguments]
            done = subprocess.run(
                [*command, "--json", str(path), "--cache", str(folder / "compiled")],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
            assert path.exists(), done.stdout + done.stderr
    return json.loads(path.read_text())


def tried(report, words):
    return sum(
        sum(counts.values())
        for fault, counts in report["counts"].items()
        if words in fault
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def small(shared):
    return run_harness(shared, "kills", "planted_resuming", "--kills=3")


@pytest.mark.thorough
def test_kills_at_random_moments_lose_nothing(small):
    assert small["failures"] == []
    assert tried(small, "SIGKILL") == 3
    assert small["counts"]["the run that was killed, at its end"] == {"exact": 1}


@pytest.mark.thorough
def test_bugs_of_resuming_are_found(small):
    assert len(small["notes"]["planted bugs found"]) == 6


@pytest.mark.slow
def test_every_planted_bug_is_found(shared):
    report = run_harness(shared, "planted", "--samples=2")
    assert report["failures"] == []
    assert set(report["notes"]["planted bugs found"]) == set(BUGS)


@pytest.mark.thorough
def test_damage_to_any_file_costs_one_checkpoint_at_most(shared):
    report = run_harness(shared, "files", "--samples=8")
    assert report["failures"] == []
    assert tried(report, "a file of the newest checkpoint") > 20
    assert tried(report, "resumed to the end") == 8


@pytest.mark.slow
def test_twenty_kills(shared):
    report = run_harness(shared, "kills", "--kills=20", "--seed=7")
    assert report["failures"] == []
    assert tried(report, "inside a save") >= 2


@pytest.mark.thorough
def test_signals_two_runs_bad_data_and_disks(shared):
    parts = ("signals", "two", "data", "disks")
    report = run_harness(shared, *parts, "--samples=6")
    assert report["failures"] == []
    assert tried(report, "SIGTERM") == 2
    assert tried(report, "two runs") == 2
    assert tried(report, "making a batch") == 2
    if "disks" not in report["notes"]:
        assert tried(report, "disk") >= 6
        assert tried(report, "read-only") == 3
