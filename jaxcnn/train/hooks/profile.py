"""Traces some steps with JAX's profiler."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jax
from etils import epath

from jaxcnn.train.hooks.base import Hook, writes_files

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class Profile(Hook):
    """Writes a trace of the steps `start` to `stop - 1`, counted from 0.

    Step k is the one that takes `data[k]`. The hook waits for the device before the
    first of them and after the last, so the trace holds these steps and no others, and
    each is marked for XProf. A start that begins past the window traces nothing, one
    that begins or ends inside it traces what it makes of it. Where step 0 is traced, or
    the first of a start, its compilation is too: tens of megabytes.

    The folder holds what XProf reads, and `perfetto_trace.json.gz` for
    https://ui.perfetto.dev. With several processes the first writes.

    Args:
        start: The first step.
        stop: One past the last.
        directory: Where to.

    Raises:
        ValueError: for a window without steps; when the run starts, for one that lies
            past its end.
    """

    def __init__(self, start: int, stop: int, directory: epath.PathLike) -> None:
        if not 0 <= start < stop:
            raise ValueError(
                f"The steps to profile must be start:stop with 0 <= start < stop, got "
                f"{start}:{stop}."
            )
        self.start, self.stop = start, stop
        self.directory = epath.Path(directory)
        self._running = False
        self._marked: Any = None

    def on_start(self, loop: Loop) -> None:
        """Begins, if the window begins here."""
        if self.start >= loop.num_steps:
            raise ValueError(
                f"The steps to profile, {self.start}:{self.stop}, lie past the end of "
                f"the run, which has {loop.num_steps} steps."
            )
        self.on_step(loop)

    def on_step(self, loop: Loop) -> None:
        """Begins and ends where it is due, and marks the step that comes."""
        self._unmark()
        stop = min(self.stop, loop.num_steps)
        if self._running and loop.step >= stop:
            self._finish(loop)
        if not self._running and self.start <= loop.step < stop and writes_files():
            jax.block_until_ready(loop.state)
            self.directory.mkdir(parents=True, exist_ok=True)
            jax.profiler.start_trace(str(self.directory), create_perfetto_trace=True)
            self._running = True
        if self._running:
            self._marked = jax.profiler.StepTraceAnnotation("train", step_num=loop.step)
            self._marked.__enter__()

    def on_end(self, loop: Loop) -> None:
        """Ends a trace that the run's end cut short."""
        self._unmark()
        if self._running:
            self._finish(loop)

    def close(self) -> None:
        """Ends a trace that an error cut short."""
        self._unmark()
        if self._running:
            self._running = False
            jax.profiler.stop_trace()

    def _finish(self, loop: Loop) -> None:
        jax.block_until_ready(loop.state)
        self._running = False
        jax.profiler.stop_trace()

    def _unmark(self) -> None:
        if self._marked is not None:
            self._marked.__exit__(None, None, None)
            self._marked = None


def parse_window(text: str) -> tuple[int, int]:
    """Returns start and stop of `"10:15"`.

    Raises:
        ValueError: if it is not two whole numbers with steps between them.

    Example:
        >>> parse_window("10:15")
        (10, 15)
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise ValueError(
            "profile must be start:stop, such as 10:15 for the steps 10 to 14, with "
            f"start below stop, got {text!r}."
        )
    return int(match[1]), int(match[2])
