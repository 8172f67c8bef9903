"""Batches made by worker processes: decoding on all cores, through Grain."""

import contextlib
import functools
import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import connection, util
from typing import Any

import numpy as np

from jaxcnn.data.progress import Board, Waiter, doing

#: What importing the library in a new process may take, with any time-out.
_START_SECONDS = 120.0
#: How long workers that are told to end may take.
_END_SECONDS = 20.0
#: What giving back the memory of the batches left may take.
_RETURN_SECONDS = 0.1
#: Batches that endless data are said to have.
_ENDLESS = 2**40


class WorkerData:
    """The batches of `data`, made ahead by worker processes; the same bytes.

    `data[k]` is what `data[k]` is without workers, so that neither their number nor a
    restart changes a run. Asked for k, k + 1, ..., as training does, batches come from
    the workers, which start at the first k and so read nothing before it. Any other k
    is made here; two in a row move the workers there.

    Workers are new processes (`spawn`), not forks: they import the program's main
    module, which must therefore start nothing outside of `if __name__ == "__main__"`.
    They ignore SIGINT and SIGTERM, touch no accelerator, and end with this process.
    They and their buffers stay until `close`, the end of an iteration or of the
    program; of each, up to three batches are ready and one is in the making.

    All else is asked of `data` itself: `steps_per_epoch`, `source`, ...

    Args:
        data: Gives batch k, a dictionary of arrays: `TrainData`, `EvalData`, or
            anything of that kind that can be pickled.
        workers: How many processes; 0 makes the batches in a thread of this one.
        timeout: Seconds that one example of a `LazySource` may take, or a batch of
            other data. After them a worker counts as hung.

    Raises:
        ValueError: if `workers` or `timeout` is not a number that it can be.

    Example:
        >>> from jaxcnn.data import TrainData, from_arrays
        >>> data = TrainData(from_arrays(np.eye(8)[:, :, None], range(8)), 4)
        >>> with WorkerData(data, workers=0) as batches:
        ...     print(batches[5]["image"].shape, batches.steps_per_epoch)
        (4, 8, 1, 1) 2
    """

    def __init__(self, data: Any, workers: int, *, timeout: float = 120.0) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
            raise ValueError(f"workers is {workers!r}, expected 0 or more processes")
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout is {timeout!r}, expected seconds above 0")
        self.data, self.workers, self.timeout = data, workers, timeout
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self._apart: int | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "data":  # not there yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.data, name)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields all batches of data that have an end, then lets the workers go."""
        count = len(self)

        def batches() -> Iterator[dict[str, np.ndarray]]:
            with self:
                yield from (self[k] for k in range(count))

        return batches()

    def __enter__(self) -> "WorkerData":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        """Returns batch `k`.

        Raises:
            TimeoutError: if a worker hangs.
            ChildProcessError: if a worker dies.
            ValueError, OSError: what `data[k]` raises.
        """
        with self._lock:
            try:
                return self._get(k)
            except BaseException:
                self._end_stream()
                raise

    def close(self) -> None:
        """Ends the workers; the next batch that is asked for starts new ones."""
        with self._lock:
            self._end_stream()

    def _get(self, k: int) -> dict[str, np.ndarray]:
        stream = self._stream
        if not self.workers:
            return self._here(k)
        if stream is None or k != stream.next:
            # A look at one other batch must not cost the workers' start.
            if stream is not None and k - 1 != self._apart:
                self._apart = k
                return self._here(k)
            self._end_stream()
            stream = self._stream = _Stream(self.data, self.workers, k)
        self._apart = None
        batch, broken = stream.take(self.timeout)
        if broken:
            self.data.source.note_broken(broken)
        return batch

    def _here(self, k: int) -> dict[str, np.ndarray]:
        with Board(1) as board:
            board.write(0, os.getpid(), k)
            with _watching(self.data, functools.partial(board.write, 0, 0, k)):
                waiter = Waiter(board, 0, self.data, self.timeout, self.timeout)
                return waiter.result(functools.partial(self.data.__getitem__, k))

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Job:
    """What a worker does for element i: batch `start + i` of the data, never an error.

    An error is returned, not raised: then all that Grain raises is its own.
    """

    def __init__(self, data: Any, start: int, workers: int, board: Board) -> None:
        self._data, self._start, self._workers = data, start, workers
        self._board = board

    def __len__(self) -> int:
        finite = hasattr(type(self._data), "__len__")
        return max(len(self._data) - self._start, 0) if finite else _ENDLESS

    def __repr__(self) -> str:
        return f"batches from {self._start} of {type(self._data).__name__}"

    def __getitem__(self, i: int) -> tuple[Any, dict[str, str], bytes]:
        k, row = self._start + i, i % self._workers
        report = functools.partial(self._board.write, row, os.getpid(), k)
        report()
        source = getattr(self._data, "source", None)
        known = len(getattr(source, "broken", ()))
        try:
            with _watching(self._data, report, quiet=True):
                batch = dict(self._data[k])
        except Exception as error:
            return {}, {}, _pickled(error)
        finally:
            report()
        broken = list(getattr(source, "broken", {}).items())[known:]
        return batch, dict(broken), b""


@contextlib.contextmanager
def _watching(
    data: Any, report: Callable[..., None], quiet: bool = False
) -> Iterator[None]:
    """Has a source that decodes say which record it is at."""
    source = getattr(data, "source", None)
    if not hasattr(source, "watch"):
        yield
        return
    source.watch = lambda record: report(record=record)
    source.quiet = quiet
    try:
        yield
    finally:
        source.watch, source.quiet = None, False


def _pickled(error: Exception) -> bytes:
    """Returns an error with the text of where it came from, as bytes."""
    text = "".join(traceback.format_exception(error))
    try:
        return pickle.dumps((type(error)(*error.args), text))
    # An error of a kind that does not come back from its arguments.
    except Exception:
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), text))


class _WorkerTraceback(Exception):
    """Shows under an error where in the worker it was raised."""


class _Stream:
    """The batches from `start` on, in order, from workers of their own."""

    def __init__(self, data: Any, workers: int, start: int) -> None:
        import grain
        from absl import flags

        # Grain reads its settings from flags, which few programs parse.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        self.next, self._start, self._data = start, start, data
        self._workers, self._board = workers, Board(workers)
        job = _Job(data, start, workers, self._board)
        # One batch at a time and none ahead of the one that waits to be taken: what
        # is ahead of the consumer is memory.
        reading = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        processes = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=1
        )
        batches = grain.MapDataset.source(job).to_iter_dataset(reading)
        prepare = functools.partial(_start_worker, self._board)
        batches = batches.mp_prefetch(processes, worker_init_fn=prepare)
        # In a list, so that whoever ends the workers can drop Grain's iterator: left to
        # the end of the program it complains.
        self._batches = [iter(batches)]
        # Also when it is forgotten or the program ends: before Python, which would wait
        # for ever, asks its children to terminate, and before pools of threads end
        # (15), one of which Grain needs.
        self.close = util.Finalize(
            self, _end_workers, (self._batches, self._board), exitpriority=20
        )

    def take(self, timeout: float) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Returns the next batch, and what was found broken in it."""
        row = (self.next - self._start) % self._workers
        limit = max(timeout, _START_SECONDS)
        waiter = Waiter(self._board, row, self._data, timeout, limit)
        try:
            found = waiter.result(functools.partial(next, self._batches[0]))
        except TimeoutError:
            _kill(self._board)
            raise
        except RuntimeError as error:
            raise self._death(row, error) from error
        batch, broken, failure = found
        if failure:
            error, text = pickle.loads(failure)
            raise error from _WorkerTraceback(f"\n{text}")
        self.next += 1
        # Copies: what Grain gives is mapped memory, with an open file for each array.
        return {name: np.array(array) for name, array in batch.items()}, broken

    def _death(self, row: int, error: RuntimeError) -> ChildProcessError:
        code = re.search(r"exit code (-?\d+)", str(error))
        how = str(error)
        if code:
            number = int(code[1])
            known = {s.value: s.name for s in signal.Signals}
            how = known.get(-number, f"exit code {number}")
        hints = {
            "SIGKILL": "; the system may have been out of memory",
            "SIGBUS": "; /dev/shm may be full, which holds the batches in the making",
        }
        at = doing(self._board, row, self._data)
        return ChildProcessError(
            f"data worker {row + 1} of {self._workers} died ({how}) {at}"
            f"{hints.get(how, '')}"
        )


def _end_workers(batches: list[Any], board: Board) -> None:
    """Ends workers, by force if they do not end by themselves."""

    def close() -> None:
        # One that died leaves little in order.
        with contextlib.suppress(Exception):
            batches.pop().close()

    thread = threading.Thread(target=close, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # at the end of the program there are no new threads
        close()
    else:
        thread.join(_END_SECONDS)
        if thread.is_alive():
            _kill(board)
            thread.join(_END_SECONDS)
    # Grain gives shared memory back in the background, which the program's end cuts
    # short.
    time.sleep(_RETURN_SECONDS)
    board.close()


def _kill(board: Board) -> None:
    """Kills the workers on a board."""
    for row in range(board.rows):
        pid = board.read(row)[0]
        if pid:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _start_worker(board: Board, row: int, count: int) -> None:
    """Prepares a new worker process; `count` is how many there are."""
    # Those who ask the run to end ask the whole group; it ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import jax

    jax.config.update("jax_platforms", "cpu")
    # Cameras write bad EXIF entries, of which Pillow warns for every image again.
    warnings.filterwarnings("ignore", module="PIL")
    board.write(row, os.getpid(), -1)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
