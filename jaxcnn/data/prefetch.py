"""The next batches are made while the device works on this one."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Protocol

# How long the end of a run waits for a batch in the making.
_PATIENCE_SECONDS = 5.0
# How often the consumer, while it waits, looks whether it is to stop.
_LOOK_SECONDS = 0.2
# After how long a wait is reported to the log.
_REPORT_SECONDS = 60.0


#: A batch, or the error that its making raised.
_Item = tuple[Any, BaseException | None]


class Batches(Protocol):
    """Anything that gives batch `k`."""

    def __getitem__(self, k: int) -> Any:
        """Returns batch `k`."""


def prefetch(
    data: Batches,
    start: int,
    stop: int,
    *,
    depth: int = 2,
    place: Callable[[Any], Any] | None = None,
    stop_early: Callable[[], bool] = lambda: False,
    timeout: float = 1800.0,
) -> Iterator[tuple[int, Any]]:
    """Returns an iterator of `(k, batch)` for `k` in `[start, stop)`, made ahead.

    One background thread makes up to `depth` batches ahead of the consumer; it ends
    when the iterator is exhausted, closed or dropped. An error there, with a note that
    says which batch it was, is raised here in the batch's turn.

    Args:
        data: Gives `data[k]`, from another thread.
        start: The first batch.
        stop: One past the last.
        depth: How many batches may be ready and waiting.
        place: Applied to each batch in the background, such as `jax.device_put`.
        stop_early: Asked while a batch is waited for: true ends the iterator.
        timeout: Seconds after which a batch that does not come is an error; a wait of
            a minute is reported to the log (`"jaxcnn"`).

    Raises:
        ValueError: if `depth` is less than one, or `timeout` is not above 0.
        TimeoutError: from the iterator, if the making of a batch hangs.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}, expected 1 or more")
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout}, expected a number above 0")
    return _prefetch(
        data,
        range(start, stop),
        depth,
        place or (lambda batch: batch),
        lambda queue, k: _wait(queue, k, stop_early, timeout),
    )


def _wait(
    ready: SimpleQueue[_Item], k: int, stop_early: Callable[[], bool], timeout: float
) -> _Item | None:
    """Returns the next of the queue, or None if the consumer is to stop."""
    began, reported = time.monotonic(), False
    while True:
        try:
            return ready.get(timeout=min(_LOOK_SECONDS, timeout))
        except Empty:
            waited = time.monotonic() - began
        if stop_early():
            return None
        if waited >= timeout:
            raise TimeoutError(
                f"Batch {k} was not there after {timeout:g} s: whatever reads the data "
                "hangs (a worker, a file system, the network)."
            )
        if waited >= _REPORT_SECONDS and not reported:
            reported = True
            logging.getLogger("jaxcnn").warning(
                "Batch %d has been waited for since %.0f s.", k, waited
            )


def _prefetch(
    data: Batches,
    numbers: range,
    depth: int,
    place: Callable[[Any], Any],
    wait: Callable[[SimpleQueue[_Item], int], _Item | None],
) -> Iterator[tuple[int, Any]]:
    ready: SimpleQueue[_Item] = SimpleQueue()
    free, stopped = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        for k in numbers:
            free.acquire()
            if stopped.is_set():
                return
            try:
                ready.put((place(data[k]), None))
            # Whatever it is, it must reach the consumer, who would wait for ever.
            except BaseException as error:
                error.add_note(f"while making batch {k}")
                ready.put((None, error))
                return

    thread = threading.Thread(target=work, name="jaxcnn-prefetch", daemon=True)
    thread.start()
    patience = 0.0  # of who gave up waiting: the thread hangs
    try:
        for k in numbers:
            item = wait(ready, k)
            if item is None:
                return
            (batch, error), patience = item, _PATIENCE_SECONDS
            free.release()
            if error is not None:
                raise error
            yield k, batch
            patience = 0.0
        patience = _PATIENCE_SECONDS
    finally:
        stopped.set()
        free.release()
        # A forgotten iterator may be collected, and so closed, in the thread itself.
        if thread is not threading.current_thread():
            thread.join(patience)
