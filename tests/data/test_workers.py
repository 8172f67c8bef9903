"""Batches from worker processes: the same bytes; workers that hang or die end it."""

import collections
import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxcnn.data import EvalData, TrainData, WorkerData, prefetch

from .images import read, same, write_images


@pytest.fixture
def root(tmp_path):
    return write_images(tmp_path)


def hang(path):
    """Puts a pipe that nobody writes to in the place of a file: reading it waits."""
    path.unlink()
    os.mkfifo(path)


def pids():
    return {process.pid for process in multiprocessing.active_children()}


class Unordered:
    """Batches that remember in which order they were made; endless."""

    steps_per_epoch = 4

    def __init__(self):
        self.made = []

    def __getitem__(self, k):
        self.made.append(k)
        return {"image": np.full(2, k)}


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_workers_give_the_bytes_of_no_workers(root, workers):
    data = TrainData(read(root), 4, seed=3)
    with WorkerData(data, workers) as batches:
        # From the middle, over the end of an epoch, as a run that is resumed.
        found = dict(prefetch(batches, 2, 9))
        assert batches.steps_per_epoch == 3
        assert all(same(found[k], data[k]) for k in range(2, 9))
        assert isinstance(found[2]["image"], np.ndarray)
        assert found[2]["image"].flags.owndata


@pytest.mark.thorough
def test_evaluation_by_workers_can_be_repeated_and_leaves_none(root):
    data, before = EvalData(read(root, "val"), 4), pids()
    batches = WorkerData(data, 1)
    assert len(batches) == 2
    for _ in range(2):
        assert all(same(a, b) for a, b in zip(batches, data, strict=True))
    assert pids() == before


@pytest.mark.thorough
def test_a_jump_moves_the_workers_only_if_it_goes_on_from_there(root):
    data = TrainData(read(root), 4, seed=3)
    with WorkerData(data, 1) as batches:
        assert same(batches[0], data[0])
        first = pids()
        assert same(batches[40], data[40])
        assert same(batches[1], data[1])
        assert pids() == first
        assert same(batches[7], data[7])
        assert same(batches[8], data[8])
        assert pids().isdisjoint(first)
        assert same(batches[9], data[9])


def test_without_workers_only_what_is_asked_for_is_made():
    data = Unordered()
    batches = WorkerData(data, 0)
    assert [int(batches[k]["image"][0]) for k in (5, 2, 9)] == [5, 2, 9]
    assert data.made == [5, 2, 9]


def test_endless_data_are_not_iterated():
    with pytest.raises(TypeError, match="no len"):
        iter(WorkerData(Unordered(), 0))


def test_a_decode_that_hangs_here_ends_within_the_timeout(root):
    hang(root / "train/cat/3.jpg")
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"for 0\.5 s in batch 0, at .*cat/3\.jpg'"):
        WorkerData(TrainData(read(root), 12), 0, timeout=0.5)[0]
    assert time.monotonic() - start < 10


@pytest.mark.thorough
def test_a_worker_that_hangs_ends_within_the_timeout(root):
    hang(root / "train/cat/3.jpg")
    data, before = TrainData(read(root), 6, shuffle=False), pids()
    batches = WorkerData(data, 2, timeout=2)
    with pytest.raises(TimeoutError, match=r"for 2 s in batch 0, at .*cat/3\.jpg'"):
        batches[0]
    assert pids() == before


def kill_all(before):
    """Kills the workers; returns how many there were."""
    workers = pids() - before
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    return len(workers)


@pytest.mark.thorough
def test_a_worker_that_dies_is_one_error(root):
    data, before = TrainData(read(root), 4), pids()
    batches = WorkerData(data, 2, timeout=60)
    batches[0]
    assert kill_all(before) == 2
    with pytest.raises(ChildProcessError, match=r"data worker \d of 2 died \(SIGKILL"):
        # Some batches were made before.
        collections.deque(prefetch(batches, 1, 20), maxlen=0)
    assert pids() == before


@pytest.mark.thorough
def test_after_an_error_one_may_go_on(root):
    data, before = TrainData(read(root), 4), pids()
    with WorkerData(data, 1) as batches:
        batches[0]
        kill_all(before)
        with contextlib.suppress(ChildProcessError):
            for k in range(1, 20):
                batches[k]
        assert same(batches[5], data[5])


@pytest.mark.thorough
def test_errors_of_workers_come_as_they_are_and_broken_images_are_counted(root):
    path = root / "train/dog/2.jpg"
    path.write_bytes(path.read_bytes()[:200])
    data = TrainData(read(root), 12)
    with (
        WorkerData(data, 1) as batches,
        pytest.raises(ValueError, match=r"dog/2\.jpg' cannot be decoded") as caught,
    ):
        batches[0]
    assert "_one" in str(caught.value.__cause__)  # where in the worker it was

    data = TrainData(read(root, on_broken="skip"), 12)
    with WorkerData(data, 2) as batches:
        with pytest.warns(UserWarning, match=r"dog/2\.jpg'.* skipped") as seen:
            found = [batches[k] for k in range(4)]
        assert len(seen) == 1
        assert list(batches.source.broken) == [f"'{path}'"]
    again = read(root, on_broken="skip")
    again.broken[f"'{path}'"] = "told already"
    assert all(same(a, TrainData(again, 12)[k]) for k, a in enumerate(found))


PROGRAM = """
import multiprocessing, sys, time
from jaxcnn.data import TrainData, WorkerData, load_source

if __name__ == "__main__":
    source = load_source(sys.argv[1], decode="lazy", image_size=(16, 16))
    batches = WorkerData(TrainData(source, 4), 2)
    [batches[k] for k in range(2)]  # one of each worker: both have started
    print(*(p.pid for p in multiprocessing.active_children()), flush=True)
    if sys.argv[2] == "wait":
        time.sleep(600)
"""


def start(root, tmp_path, what):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = [sys.executable, str(program), f"folder:{root}", what]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, [int(word) for word in process.stdout.readline().split()]


def wait_for_end(workers):
    limit = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < limit, "workers outlive their parent"
        time.sleep(0.1)


@pytest.mark.thorough
def test_workers_end_with_a_program_that_is_killed(root, tmp_path):
    process, workers = start(root, tmp_path, "wait")
    assert len(workers) == 2
    # Those who stop a run tell the whole group: the workers must not mind.
    for pid in workers:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    assert all(os.path.exists(f"/proc/{pid}") for pid in workers)
    process.kill()
    process.communicate()
    wait_for_end(workers)


@pytest.mark.thorough
def test_a_program_ends_quietly_without_closing(root, tmp_path):
    process, workers = start(root, tmp_path, "end")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    wait_for_end(workers)


class Backends:
    """Batches that say how many backends of JAX their process has started."""

    steps_per_epoch = 1

    def __getitem__(self, k):
        import jax
        from jax._src import xla_bridge

        return {
            "image": np.array([len(xla_bridge._backends), os.getpid()]),
            "name": np.array([jax.config.jax_platforms == "cpu"]),
        }


@pytest.mark.thorough
def test_workers_have_no_backend_of_jax():
    with WorkerData(Backends(), 1) as batches:
        batch = batches[0]
    backends, pid = batch["image"]
    assert pid != os.getpid()
    assert backends == 0
    assert batch["name"].all()


@pytest.mark.thorough
def test_importing_the_library_does_not_import_grain():
    code = "import sys, jaxcnn.data; sys.exit('grain' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers is -1, expected 0 or more"),
        ({"workers": 1.5}, "workers is 1.5, expected 0 or more"),
        ({"workers": 1, "timeout": 0}, "timeout is 0, expected seconds above 0"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        WorkerData(Unordered(), **options)
