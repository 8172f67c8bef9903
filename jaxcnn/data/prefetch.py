"""The next batches are made while the device works on this one."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Protocol

# How long the end of a run waits for a batch in the making.
_PATIENCE_SECONDS = 5.0


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

    Raises:
        ValueError: if `depth` is less than one.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}, expected 1 or more")
    return _prefetch(data, range(start, stop), depth, place or (lambda batch: batch))


def _prefetch(
    data: Batches, numbers: range, depth: int, place: Callable[[Any], Any]
) -> Iterator[tuple[int, Any]]:
    ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
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
    try:
        for k in numbers:
            batch, error = ready.get()
            free.release()
            if error is not None:
                raise error
            yield k, batch
    finally:
        stopped.set()
        free.release()
        # A forgotten iterator may be collected, and so closed, in the thread itself.
        if thread is not threading.current_thread():
            thread.join(_PATIENCE_SECONDS)
