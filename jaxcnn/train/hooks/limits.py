"""Ends a run early, in good order: by signal, by the clock."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from jaxcnn.train.hooks.base import Hook, require_positive

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class StopOnSignal(Hook):
    """Ends the run after the current step on SIGINT (Ctrl-C) or SIGTERM.

    The hooks' `on_end` still runs, so a `SaveCheckpoints` saves. An evaluation, and a
    wait for data, leave off: what a scheduler gives is seconds. A second Ctrl-C aborts
    at once; a second SIGTERM does not, as `timeout` and others send it twice. Signals
    can be caught in the main thread only; elsewhere the hook does nothing.
    """

    def __init__(self) -> None:
        self._loop: Loop | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._received: signal.Signals | None = None

    def on_start(self, loop: Loop) -> None:
        """Takes the signals over."""
        self._received, self._loop = None, loop
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)

    def on_step(self, loop: Loop) -> None:
        """Ends the run if a signal came."""
        if self._received is not None:
            loop.stop(self._received.name)

    def close(self) -> None:
        """Gives the signals back."""
        self._loop = None
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            if number == signal.SIGTERM:
                return
            self.close()
            raise KeyboardInterrupt(f"{signal.Signals(number).name} again")
        self._received = signal.Signals(number)
        if self._loop is not None:
            self._loop.interrupted = self._received.name


class TimeLimit(Hook):
    """Ends the run after the step in which `seconds` have passed since its start."""

    def __init__(self, seconds: float) -> None:
        require_positive("seconds", seconds)
        self.seconds = seconds

    def on_step(self, loop: Loop) -> None:
        """Looks at the clock."""
        if time.monotonic() - loop.started >= self.seconds:
            loop.stop(f"time limit of {self.seconds:g} s")
