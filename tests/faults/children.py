"""Forked children: each is a fresh process of JAX, without the seconds of importing it.

The parent has imported everything and initialised no backend of JAX, so it has no
threads and may fork; every child initialises its own.
"""

import contextlib
import ctypes
import mmap
import os
import pickle
import signal
import sys
import time
import traceback


class Board(ctypes.Structure):
    """Numbers in shared memory, written by a child and read after its death."""

    _fields_ = (
        ("step", ctypes.c_int64),  # updates dispatched
        ("saved", ctypes.c_int64),  # the newest step whose save is complete
        ("points", ctypes.c_int64),  # instrumented points passed
        ("main", ctypes.c_int64),  # what the main thread is in: an index of POINTS + 1
        ("saver", ctypes.c_int64),  # what the thread that completes saves is in
        ("signalled", ctypes.c_int64),  # whether the signal was sent
    )


def new_board():
    return Board.from_buffer(mmap.mmap(-1, ctypes.sizeof(Board)))


class Child:
    """A forked process at work, and what it returns through a pipe."""

    def __init__(self, pid, pipe):
        self.pid = pid
        self.code = None
        self._pipe = pipe

    def kill(self, number=signal.SIGKILL):
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self):
        """Returns the exit code, negative for a signal, or None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds=300.0):
        """Returns the exit code; a child that hangs is killed, and that is an error."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"a child was still at work after {seconds:g} s")
            time.sleep(0.002)
        return self.code

    def result(self, seconds=300.0):
        """Returns what the function returned.

        Raises:
            RuntimeError: if the child ended in another way.
        """
        with os.fdopen(self._pipe, "rb") as pipe:
            content = pipe.read()
        code = self.wait(seconds)
        if code or not content:
            raise RuntimeError(f"a child ended with {code}")
        return pickle.loads(content)


def fork(work, *args):
    """Runs `work(*args)` in a new process and returns its `Child`."""
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _work(work, args, write)
    os.close(write)
    return Child(pid, read)


def call(work, *args, seconds=300.0):
    """Returns `work(*args)`, computed in a new process."""
    return fork(work, *args).result(seconds)


def _work(work, args, pipe):
    code = 70
    try:
        result = work(*args)
        with os.fdopen(pipe, "wb") as file:
            pickle.dump(result, file)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
