"""The flags of several processes, and the words with which they end."""

import contextlib
import io
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from jaxcnn.experiment import ExperimentConfig, Hosts, together
from jaxcnn.experiment.build import build
from jaxcnn.experiment.ending import _lost_connection, _Prefixed, deadline
from jaxcnn.experiment.flags import parse_train
from jaxcnn.experiment.hosts import _explained
from tests.experiment.conftest import small

ROOT = Path(__file__).parents[2]
ADDRESS = ("--coordinator", "host0:1234", "--processes", "4", "--process", "3")


def parse(*args, default=None):
    return parse_train(default or ExperimentConfig(), list(args), prog="jaxcnn train")


def test_the_processes_are_no_part_of_the_configuration():
    config, hosts = parse("--distributed", "--steps", "7", default=small("run"))
    assert config == small("run", steps=7)
    assert hosts == Hosts(distributed=True)
    assert hosts.several
    assert parse(*ADDRESS)[1] == Hosts(coordinator="host0:1234", processes=4, process=3)
    assert parse(*ADDRESS)[1].several
    assert not parse()[1].several


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (ADDRESS[:2], "go together; not given: --processes, --process"),
        (ADDRESS[2:], "go together; not given: --coordinator"),
        (("--coordinator", "host0", *ADDRESS[2:]), "HOST:PORT, got 'host0'"),
        ((*ADDRESS[:4], "--process", "4"), "from 0 to 3, .* got 4"),
        ((*ADDRESS[:4], "--process", "-1"), "from 0 to 3, .* got -1"),
        ((*ADDRESS[:2], "--processes", "0", "--process", "0"), "1 or more, got 0"),
        (("--start-timeout", "0"), "--start-timeout must be 1 or more seconds, got 0"),
        (("--heartbeat-timeout", "0"), "--heartbeat-timeout must be 1 or more"),
        (("--coordinater", "a:1"), "--coordinator"),
    ],
)
def test_flags_that_contradict_each_other(args, message):
    with pytest.raises(ValueError, match=message):
        parse(*args)


def test_without_processes_nothing_is_joined():
    with together(Hosts()):
        assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("coordinator_address should be defined."), "found no cluster"),
        (RuntimeError("Failed to start RPC server"), "cannot listen on the port"),
        (RuntimeError("called before any JAX calls that"), "experiment file compute"),
        (RuntimeError("no pods"), "could not be joined: no pods"),
    ],
)
def test_what_jax_refuses_is_explained(error, message):
    assert message in _explained(error, Hosts(distributed=True))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_several_processes_need_a_mesh(monkeypatch, tmp_path, parallel):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=f"parallel is '{parallel}'.*--parallel mesh"):
        build(small(tmp_path, parallel=parallel))


def test_a_lost_connection_is_known_among_causes():
    lost = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: peer.\nMore.")
    wrapped = OSError("could not be saved")
    wrapped.__cause__ = lost
    assert _lost_connection(wrapped) == "UNKNOWN: Gloo all-reduce failed: peer"
    assert _lost_connection(ValueError("Gloo")) is None
    assert _lost_connection(jax.errors.JaxRuntimeError("out of memory")) is None


def test_every_line_is_prefixed_once():
    out = io.StringIO()
    stream = _Prefixed(out, "[2/4] ")
    for text in ("one", " and two\nthree\n", "", "\n", "four\n"):
        stream.write(text)
    stream.flush()
    assert out.getvalue() == "[2/4] one and two\n[2/4] three\n[2/4] \n[2/4] four\n"


def test_a_deadline_that_is_kept_does_nothing():
    with deadline(0.05, "late"):
        pass
    time.sleep(0.1)


def ended(*args):
    """Returns how `jaxcnn train` ends with these flags, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "jaxcnn", "train", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("process", ["0", "1"])
def test_processes_that_do_not_come_are_one_clear_line(process):
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    flags = ("--coordinator", address, "--processes", "2", "--process", process)
    result = ended(*flags, "--start-timeout", "1")
    assert result.returncode == 2
    assert result.stderr == (
        "jaxcnn: Not all processes of the run were there within 1 s: 2 of them at "
        f"{address}. Start them all, and see that they reach the first one.\n"
    )


@pytest.mark.thorough
def test_no_cluster_and_a_port_in_use_are_one_clear_line():
    result = ended("--distributed")
    assert result.returncode == 2
    assert "--distributed found no cluster: neither SLURM" in result.stderr
    assert result.stderr.count("\n") == 1
    with contextlib.closing(socket.create_server(("", 0))) as server:
        address = f"localhost:{server.getsockname()[1]}"
        flags = ("--coordinator", address, "--processes", "2", "--process", "0")
        result = ended(*flags)
    assert result.returncode == 2
    assert f"cannot listen on {address}: is the port in use?" in result.stderr
