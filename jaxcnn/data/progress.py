"""What workers are doing, and waiting for them no longer than they get on."""

import contextlib
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from queue import Empty, SimpleQueue
from typing import Any

#: How often a waiting process looks whether it waits in vain.
_LOOK_SECONDS = 0.2
#: A worker's row of the board: process, signs of life, record, batch; 64-bit integers.
_ROW = struct.Struct("=4q")


class Board:
    """Memory in which workers say what they are doing, a row for each."""

    def __init__(self, rows: int, name: str | None = None) -> None:
        size = rows * _ROW.size
        self._memory = (
            shared_memory.SharedMemory(create=True, size=size)
            if name is None
            else shared_memory.SharedMemory(name)
        )
        self._made, self.rows = name is None, rows
        self.name = self._memory.name

    def __reduce__(self) -> Any:
        return Board, (self.rows, self.name)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def read(self, row: int) -> tuple[int, int, int, int]:
        """Returns process, signs of life, record and batch of a worker."""
        return _ROW.unpack_from(self._memory.buf, row * _ROW.size)

    def write(self, row: int, process: int, batch: int, record: int = -1) -> None:
        """Gives a sign of life; a process of 0 leaves the one that stands there."""
        old, signs, _, _ = self.read(row)
        values = (process or old, signs + 1, record, batch)
        _ROW.pack_into(self._memory.buf, row * _ROW.size, *values)

    def close(self) -> None:
        """Gives the memory back."""
        self._memory.close()
        if self._made:
            with contextlib.suppress(FileNotFoundError):
                self._memory.unlink()


class Waiter:
    """Waits for a call as long as the worker behind it gives signs of life."""

    def __init__(
        self, board: Board, row: int, data: Any, timeout: float, first: float
    ) -> None:
        self._board, self._row, self._data = board, row, data
        self._timeout, self._first = timeout, first

    def result(self, call: Callable[[], Any]) -> Any:
        """Returns what the call returns.

        Raises:
            TimeoutError: if there is no sign of life for too long.
        """
        box: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                box.put((call(), None))
            except BaseException as error:
                box.put((None, error))

        # A daemon: one that hangs must not hold up the end of the program.
        threading.Thread(target=work, name="jaxcnn-batch", daemon=True).start()
        signs, since = self._board.read(self._row), time.monotonic()
        while True:
            try:
                value, error = box.get(timeout=_LOOK_SECONDS)
            except Empty:
                now = self._board.read(self._row)
                if now != signs:
                    signs, since = now, time.monotonic()
                # Before its first batch, a worker has yet to import all it needs.
                limit = self._timeout if now[1] > 1 else self._first
                if time.monotonic() - since < limit:
                    continue
                at = doing(self._board, self._row, self._data)
                raise TimeoutError(
                    f"a data worker has not got on for {limit:g} s {at}: storage or "
                    "decoding hangs, or the time-out is too short"
                ) from None
            if error is not None:
                raise error
            return value


def doing(board: Board, row: int, data: Any) -> str:
    """Returns what a worker did last, in words."""
    _, signs, record, batch = board.read(row)
    if not signs or batch < 0:
        return "before its first batch"
    text = f"in batch {batch}"
    records = getattr(getattr(data, "source", None), "records", None)
    return f"{text}, at {records.name(record)}" if records and record >= 0 else text
