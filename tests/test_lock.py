import json
import os
import signal
import subprocess
import sys

import jax
import pytest

from jaxcnn.lock import RunLock

HOLD = """
import sys, time
from jaxcnn.lock import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_lock_is_refused_and_the_first_is_freed_on_leaving(tmp_path):
    with RunLock(tmp_path):
        message = f"{tmp_path} is in use by process {os.getpid()} on .*another folder"
        with pytest.raises(BlockingIOError, match=message):
            RunLock(tmp_path).__enter__()
    with RunLock(tmp_path):
        pass


def test_the_lock_is_freed_by_an_exception(tmp_path):
    with pytest.raises(KeyError), RunLock(tmp_path):
        raise KeyError
    with RunLock(tmp_path):
        pass


def test_a_lock_of_another_process_names_it_and_dies_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"in use by process {child.pid} on"):
            RunLock(tmp_path).__enter__()
        child.send_signal(signal.SIGKILL)
    with RunLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"{}", b"\xff{", b'{"pid": 1'])
def test_a_holder_whose_name_cannot_be_read(tmp_path, content):
    with RunLock(tmp_path):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(BlockingIOError, match="in use by another process"):
            RunLock(tmp_path).__enter__()


def test_the_folder_is_made(tmp_path):
    with RunLock(tmp_path / "runs" / "first"):
        assert (tmp_path / "runs" / "first").is_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/run cannot be written: Not a directory"):
        RunLock(tmp_path / "file" / "run").__enter__()


def test_a_file_system_without_locks_is_one_sentence(tmp_path, monkeypatch):
    def fail(file, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="cannot be locked: No locks available"):
        RunLock(tmp_path).__enter__()


def test_remote_folders_are_not_locked():
    with RunLock("gs://bucket/run"), RunLock("gs://bucket/run"):
        pass


def test_process_zero_locks_for_all(tmp_path, monkeypatch):
    with RunLock(tmp_path):
        monkeypatch.setattr(jax, "process_index", lambda: 1)
        with RunLock(tmp_path):
            pass
