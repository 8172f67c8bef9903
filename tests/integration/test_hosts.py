"""Several processes as the command line starts them: topologies, deaths, signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.experiment.ending import PEER_CODE
from jaxcnn.train import make_mesh
from tests.integration import worker
from tests.integration.runs import assert_same_tree, contents
from tests.integration.test_processes import start as start_workers

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
#: Far above what was measured, for a machine that has other work.
SECONDS = 20.0


class Ended(NamedTuple):
    """How one process ended: its code, when, and what it said."""

    code: int
    time: float
    stdout: str
    stderr: str


def free_address():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def start(run, *wheres, devices=4, **environment):
    """Starts a process of `host.py` for each WHERE and waits until all have ended."""
    address, environment = free_address(), os.environ | environment
    environment.pop("XLA_FLAGS", None)
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.host", address),
                *map(str, (len(wheres), index, devices, run, where)),
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, where in enumerate(wheres)
    ]
    times = [0.0] * len(started)
    give_up = time.monotonic() + 400
    while not all(times) and time.monotonic() < give_up:
        for k, process in enumerate(started):
            if not times[k] and process.poll() is not None:
                times[k] = time.monotonic()
        time.sleep(0.02)
    for process in started:
        process.kill()
    outputs = [process.communicate() for process in started]
    assert all(times), [err for _, err in outputs]
    return [
        Ended(process.returncode, at, out, err)
        for process, at, (out, err) in zip(started, times, outputs, strict=True)
    ]


def assert_well(ended):
    assert [process.code for process in ended] == [0] * len(ended), ended


def last_line(process):
    return process.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Returns a run of two processes that nothing happened to."""
    directory = tmp_path_factory.mktemp("unbroken") / "run"
    first, second = start(directory, "", "")
    assert_well([first, second])
    assert "Finished after 12 steps" in first.stdout
    assert "12 steps of 32 on 8 cpu" in first.stderr
    # All is said once: the other process has nothing to add but what Gloo prints.
    others = second.stdout.splitlines()
    assert all(line.startswith(("[Gloo]", ". Expected")) for line in others), others
    assert not second.stderr
    return directory


def check_equal(directory, unbroken):
    step, state, values, records = contents(directory)
    whole_step, whole_state, whole_values, whole_records = contents(unbroken)
    assert step == whole_step == 12
    assert_same_tree(state, whole_state)
    assert values == whole_values
    assert records == whole_records


def check_survivor(dead, survivor, within):
    assert dead.code == KILLED
    assert survivor.code == PEER_CODE, survivor
    assert survivor.time - dead.time < within
    line = last_line(survivor)
    assert "was killed, or cannot be reached any more" in line
    assert line.endswith("goes on from its newest checkpoint.")
    print(f"the other process ended after {survivor.time - dead.time:.2f} s: {line}")


@pytest.mark.thorough
def test_a_process_that_dies_ends_the_other_and_the_run_goes_on(tmp_path, unbroken):
    survivor, dead = start(tmp_path / "run", "", "step:5")
    check_survivor(dead, survivor, SECONDS)
    assert_well(start(tmp_path / "run", "", ""))
    check_equal(tmp_path / "run", unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["step:5", "saving:6"])
def test_the_first_process_dies(tmp_path, unbroken, where):
    dead, survivor = start(tmp_path / "run", where, "")
    check_survivor(dead, survivor, SECONDS)
    assert last_line(survivor).startswith("[2/2] jaxcnn: ")
    assert_well(start(tmp_path / "run", "", ""))
    check_equal(tmp_path / "run", unbroken)


@pytest.mark.slow
def test_a_process_dies_while_the_other_only_waits_for_it(tmp_path):
    """Nothing breaks then but the heartbeat; here it may be silent for 5 s."""
    survivor, dead = start(tmp_path / "run", "wait:5", "step:5", HEARTBEAT="5")
    check_survivor(dead, survivor, 5 + SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("first_fails", [True, False])
def test_an_error_of_one_process_ends_all(tmp_path, first_fails):
    wheres = ("raise:5", "") if first_fails else ("", "raise:5")
    ended = start(tmp_path / "run", *wheres)
    failed, other = ended if first_fails else ended[::-1]
    name = "process 1/2" if first_fails else "process 2/2"
    why = "The picture 000123.jpg is cut short. while making batch 5"
    assert failed.code == other.code == 2
    assert last_line(failed).endswith(f"jaxcnn: {why}")
    assert last_line(other).endswith(f"jaxcnn: {name} ended with an error: {why}")
    assert abs(other.time - failed.time) < SECONDS


@pytest.mark.thorough
def test_a_signal_to_one_process_ends_all_at_one_step(tmp_path):
    """The run is far too long to reach its end before."""
    run = tmp_path / "run"
    first, second = start(run, "", "term:3", STEPS="5000")
    assert [first.code, second.code] == [143, 143], (first, second)
    with Checkpoints(run / "checkpoints") as checkpoints:
        step = checkpoints.latest_step
    assert 3 <= step <= 3 + 16
    assert f"stopped after step {step}: SIGTERM" in first.stderr
    assert f"Stopped after step {step}: SIGTERM." in first.stdout


def mesh_of(devices):
    return jax.sharding.NamedSharding(make_mesh(devices), jax.sharding.PartitionSpec())


@pytest.mark.slow
def test_a_run_goes_on_with_other_processes_and_devices(tmp_path, unbroken):
    """2 x 4 devices, then 1, then 8, then 1 x 2, then 2 x 4 again."""
    legs = [(2, 4), (1, 1), (1, 8), (1, 2), (2, 4)]
    for steps, (processes, devices) in zip((3, 5, 7, 9, 12), legs, strict=True):
        assert_well(
            start(
                tmp_path / "run", *[""] * processes, devices=devices, STEPS=str(steps)
            )
        )
    step, state, *_ = contents(tmp_path / "run")
    _, whole, *_ = contents(unbroken)
    assert step == 12
    for name in ("params", "opt_state", "model_state"):
        for a, b in zip(
            jax.tree.leaves(state[name]), jax.tree.leaves(whole[name]), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_state_of_two_processes_has_the_same_bits_anywhere(unbroken, devices):
    with Checkpoints(unbroken / "checkpoints") as checkpoints:
        saved = checkpoints.restore().state
        leaves = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=mesh_of(devices)),
            saved,
        )
        restored = checkpoints.restore(leaves).state
    for a, b in zip(jax.tree.leaves(saved), jax.tree.leaves(restored), strict=True):
        assert len(b.sharding.device_set) == devices
        if jax.dtypes.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.thorough
def test_arrays_in_parts_on_two_processes_are_whole_anywhere(tmp_path):
    """Written by 2 x 4 devices, an eighth on each; read by 1, 2, 8, and 2 x 4 again."""
    folder = tmp_path / "checkpoints"
    for _ in range(2):  # the second time it reads, and compares
        start_workers(2, "parts", folder)
    expected = worker.numbers()
    with Checkpoints(folder) as checkpoints:
        for devices in (1, 2, 8):
            mesh = make_mesh(devices)
            target = worker.in_parts(expected, mesh)
            restored = checkpoints.restore(target).state
            for name in expected:
                np.testing.assert_array_equal(restored[name], expected[name])
                assert restored[name].sharding.mesh.size == devices
