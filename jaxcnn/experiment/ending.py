"""How several processes end: at once, all of them, with a line that says why."""

import contextlib
import ctypes
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TextIO

import jax

#: What `exit_cleanly` gives for a user's mistake.
_ERROR_CODE = 2
#: EX_TEMPFAIL of sysexits.h: another process ended; the same command may well succeed.
PEER_CODE = 75
#: Under this name the process that fails tells the others why.
_KEY = "jaxcnn/ended"
#: How long the first process, whose end ends all, waits for the others to be told.
_TOLD_SECONDS = 1.0
#: What errors of a connection to another process look like, of Gloo, NCCL and gRPC.
_LOST = re.compile(
    r"gloo|nccl|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|Connection (closed|reset)"
    r"|coordination service|barrier",
    re.IGNORECASE,
)
_AGAIN = (
    "Start all processes again with the same command: the run goes on from its newest "
    "checkpoint."
)


@contextlib.contextmanager
def deadline(seconds: float, line: str) -> Iterator[None]:
    """Ends the program with a line, and code 2, if the context lasts any longer.

    For calls that no exception can interrupt.
    """
    timer = threading.Timer(seconds, _leave, (f"jaxcnn: {line}", _ERROR_CODE))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Ending:
    """Ends this process where another one does, and tells the others where this does.

    - An error inside the context is printed, told to the others, and ends the program.
    - What another process tells ends the program at once, wherever it is: the thread
      that it waits in may wait for ever.
    - A process that was killed tells nothing. Where its connections break, an error
      comes up here; where nothing breaks, JAX misses its heartbeat and aborts.

    On entering, messages of all processes but the first get `[2/4]` in front.
    """

    def __init__(self) -> None:
        self._index, self._count = jax.process_index(), jax.process_count()
        self._name = f"process {self._index + 1}/{self._count}"
        # Whoever has it prints the last line and ends the program.
        self._last_word = threading.Lock()
        self._plain_stderr = sys.stderr

    def __enter__(self) -> Self:
        if self._count > 1:
            if self._index:
                sys.stderr = _Prefixed(
                    sys.stderr, f"[{self._index + 1}/{self._count}] "
                )
            self._speak_at_abort()
            threading.Thread(
                target=self._listen, name="jaxcnn-ending", daemon=True
            ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._count == 1:
            return
        if error is not None:
            self._fail(error)
        # Waits for the others, so that none takes the end of this one for a death.
        jax.distributed.shutdown()
        _set_abort_handler(None)
        sys.stderr = self._plain_stderr

    def _listen(self) -> None:
        """Waits in a thread until a process says that it failed."""
        try:
            told = _client().blocking_key_value_get(_KEY, 2**31 * 1000)
        except Exception:  # shut down, or the first process died: JAX aborts by itself
            return
        code, _, message = told.partition(" ")
        self._leave(f"jaxcnn: {message}", int(code))

    def _fail(self, error: BaseException) -> None:
        from jaxcnn.experiment.main import explain

        if lost := _lost_connection(error):
            # If the other one still could, it told why, and `_listen` says it.
            time.sleep(_TOLD_SECONDS)
            line = (
                "Another process of the run was killed, or cannot be reached any more "
                f"({lost}). {_AGAIN}"
            )
            self._leave(f"jaxcnn: {line}", PEER_CODE, tell=line)
        message, code = explain(error)
        if message is None:
            traceback.print_exception(error)
            message = f"{type(error).__name__}: {error}"
        told = f"{self._name} ended with an error: {message}"
        self._leave(f"jaxcnn: {message}", code, tell=told)

    def _tell(self, message: str, code: int) -> None:
        """Tells the others, unless another process was quicker or all are gone."""
        with contextlib.suppress(Exception):
            _client().key_value_set(_KEY, f"{code} {message}")

    def _leave(self, line: str, code: int, *, tell: str | None = None) -> None:
        """Ends the program once, whatever other threads do."""
        with self._last_word:
            if tell is not None:
                self._tell(tell, code)
            if not self._index:
                time.sleep(_TOLD_SECONDS)  # it carries the words of all
            _leave(line, code)

    def _speak_at_abort(self) -> None:
        """Adds a line to what JAX prints when it aborts the program."""
        line = (
            "jaxcnn: JAX ended this process, as said above: another process of the run "
            f"was killed, or cannot be reached any more. {_AGAIN}"
        )

        def speak(number: int) -> None:
            if self._last_word.acquire(blocking=False):
                _leave(line, PEER_CODE)
            time.sleep(2 * _TOLD_SECONDS)  # another thread is about to
            _leave(line, PEER_CODE)

        _set_abort_handler(speak)


class _Prefixed:
    """A text stream with something in front of every line."""

    def __init__(self, stream: TextIO, prefix: str) -> None:
        self._stream, self._prefix = stream, prefix
        self._at_start = True

    def write(self, text: str) -> int:
        if text:
            parts = re.sub(r"\n(?=.)", f"\n{self._prefix}", text, flags=re.DOTALL)
            self._stream.write((self._prefix if self._at_start else "") + parts)
            self._at_start = text.endswith("\n")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _leave(line: str, code: int) -> None:
    """Prints a line and ends the program without waiting for anything.

    The usual end would wait for threads, and for processes that are no more. A
    checkpoint in the making is left as by a kill: the earlier ones are intact.
    """
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        print(" ".join(line.split()), file=sys.stderr, flush=True)
    with contextlib.suppress(Exception):
        for child in multiprocessing.active_children():  # that decode images
            child.kill()
    os._exit(code)


def _lost_connection(error: BaseException | None) -> str | None:
    """Returns the words of a broken connection in an error or its causes, if any."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) and _LOST.search(str(error)):
            return str(error).strip().splitlines()[0][:200].rstrip(". ")
        error = error.__cause__ or error.__context__
    return None


def _client() -> Any:
    """Returns the connection to what all processes share: small values by name.

    JAX has no public name for it (Orbax takes it from here too).
    """
    from jax._src import distributed

    return distributed.global_state.client


#: Kept, as C only holds the address.
_abort_handlers: list[Any] = []


def _set_abort_handler(function: Any) -> None:
    """Has a function called on abort(), in the aborting thread, in C's own way.

    Python's handlers run in the main thread after the next instruction, of which there
    is none.
    """
    if not hasattr(signal, "SIGABRT") or os.name != "posix":
        return
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    handler = ctypes.cast(None, kind) if function is None else kind(function)
    _abort_handlers.append(handler)
    set_signal = ctypes.CDLL(None).signal
    set_signal.argtypes, set_signal.restype = (ctypes.c_int, kind), ctypes.c_void_p
    set_signal(signal.SIGABRT, handler)
