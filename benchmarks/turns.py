"""Worker processes that take turns: started, asked, timed and ended."""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]

#: Seconds for which the lock is left to others before it is taken again.
LEAVE = 1.0


class Settings(NamedTuple):
    """What all workers of a run share.

    Attributes:
        threads: Cores and threads of each side.
        hugepages: Whether glibc asks for huge pages, on all sides.
        keep_memory: Whether glibc keeps what a side frees, on all sides, as
            `jaxcnn.train.keep_freed_memory` does.
        turn: Seconds of one turn, if a call is shorter.
        pause: Seconds between turns, in which threads that spin fall asleep.
        limit: Seconds after which a side that has not answered is given up.
        lock: A file that is locked while something is timed; None for no lock.
        nice: Niceness of the workers while something is timed; None to leave it.
        cache: A folder for compiled programs. Compilation is then not what is timed.
    """

    threads: int = os.cpu_count() or 1
    hugepages: bool = True
    keep_memory: bool = True
    turn: float = 0.25
    pause: float = 0.02
    limit: float = 600.0
    lock: str | None = None
    nice: int | None = None
    cache: str | None = None

    def recorded(self) -> dict[str, Any]:
        """Returns what the figures depend on."""
        names = ("threads", "hugepages", "keep_memory", "nice")
        cached = {"compiled_before": self.cache is not None}
        return {name: getattr(self, name) for name in names} | cached


class WorkerError(RuntimeError):
    """A side that failed or did not answer in time; the message says how."""


class Worker:
    """A process of `benchmarks.worker` for one variant of one side."""

    def __init__(self, side: str, model: str, variant: str, settings: Settings) -> None:
        self.side, self.variant, self.limit = side, variant, settings.limit
        self.alive = True
        job = {"side": side, "model": model, "variant": variant}
        job["threads"] = settings.threads
        self._scratch = tempfile.TemporaryDirectory()
        self._log = Path(self._scratch.name, "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=worker_environment(settings, self._scratch.name),
            start_new_session=True,
        )
        if settings.nice is not None:
            self.prioritise(settings.nice)
        try:
            self._reply()
        except BaseException:
            self.close()
            raise
        self.prioritise(0)

    def ask(self, do: str, kind: str = "", **more: Any) -> dict[str, Any]:
        """Returns the worker's reply.

        Raises:
            WorkerError: if it fails, ends, or takes longer than `Settings.limit`.
        """
        line = json.dumps({"do": do, "kind": kind, **more}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # its reply will be missing too
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        if not select.select([self.process.stdout], [], [], self.limit)[0]:
            self.close()
            raise WorkerError(f"not ready within {self.limit:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            words = self._last_words()
            self.close()
            raise WorkerError(f"ended: {words}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1][:300] if lines else "no message"

    def prioritise(self, nice: int) -> None:
        """Sets the niceness of all of its threads, and of its session.

        Where Linux groups processes by session (`sched_autogroup_enabled`), niceness
        only counts within a group, and the group has one of its own.
        """
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PGRP, self.process.pid, nice)
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.process.pid}/autogroup").write_text(f"{nice}")

    def close(self) -> None:
        """Ends the process, and what it has started."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._scratch.cleanup()


def worker_environment(settings: Settings, scratch: str) -> dict[str, str]:
    """Returns the environment of every worker, whatever its side."""
    threads = str(settings.threads)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    added = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": "jax",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TORCHINDUCTOR_CACHE_DIR": settings.cache or scratch,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if tunables := allocator(settings):
        added["GLIBC_TUNABLES"] = tunables
    if settings.cache:
        added["JAX_COMPILATION_CACHE_DIR"] = settings.cache
        added["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # The tests' own settings of XLA are not for measuring.
    kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return {**kept, **added}


def allocator(settings: Settings) -> str:
    """Returns what `GLIBC_TUNABLES` says to every side."""
    wanted = []
    if settings.hugepages:
        wanted.append("hugetlb=1")
    if settings.keep_memory:
        wanted += ["arena_max=1", "mmap_max=0", f"trim_threshold={2**64 - 1}"]
    return ":".join(f"glibc.malloc.{each}" for each in wanted)


@contextlib.contextmanager
def timing(workers: list[Worker], settings: Settings) -> Iterator[None]:
    """Holds the lock, and gives the workers priority, while the block lasts."""
    with contextlib.ExitStack() as stack:
        if settings.lock:
            # Who waits for the lock is not served in turn: leave them a moment.
            stack.callback(time.sleep, LEAVE)
            file = stack.enter_context(open(settings.lock, "a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        if settings.nice is not None:
            before = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, 0, settings.nice)
            stack.callback(os.setpriority, os.PRIO_PROCESS, 0, before)
            for worker in workers:
                worker.prioritise(settings.nice)
                stack.callback(worker.prioritise, 0)
        yield


def take_turns(
    kind: str, warm: dict[Worker, float], settings: Settings
) -> dict[Worker, dict[str, float]]:
    """Returns what each worker measured in its turn of one round.

    Short calls are made many times in a turn, behind a warm-up: the other sides have
    left their data in the caches.
    """
    found = {}
    for worker, seconds in warm.items():
        time.sleep(settings.pause)
        count = max(1, round(settings.turn / seconds))
        found[worker] = worker.ask(
            "turn", kind, count=count, warm_up=0 if count == 1 else 1 + count // 10
        )
    return found
