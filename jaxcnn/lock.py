"""One process per run folder, by a lock that dies with its process."""

import json
import os
import socket
from typing import IO, Self

import jax
from etils import epath

_NAME = ".lock"


class RunLock:
    """Holds a run folder for this process alone while the context lasts.

    The lock is the operating system's (`flock` on the file `.lock`), so a killed
    process frees it, and the file that it leaves is no obstacle. The folder is made if
    needed.

    Remote folders (`gs://...`) and systems without `flock` (Windows) have no such lock:
    there this does nothing, and it is up to the user to start one run per folder. In a
    run of several processes, process 0 holds the lock for all.

    Args:
        directory: The run folder.

    Raises:
        OSError: on entering, if another process holds the folder, named with its
            machine, or if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with RunLock(folder):
        ...     pass  # train
    """

    def __init__(self, directory: epath.PathLike):
        self.directory = epath.Path(directory)
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if "://" not in os.fspath(self.directory) and jax.process_index() == 0:
            self._acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        # The file stays: removing it would let two processes lock two files.
        if self._file is not None:
            self._file.close()
            self._file = None

    def _acquire(self) -> None:
        try:
            import fcntl
        except ImportError:
            return
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with file:
                raise self._refusal(file, error) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        self._file = file

    def _open(self) -> IO[str]:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            return open(self.directory / _NAME, "a+", encoding="utf-8")
        except OSError as error:
            raise OSError(
                f"The run folder {self.directory} cannot be written: {error.strerror}."
            ) from error

    def _refusal(self, file: IO[str], error: OSError) -> OSError:
        if not isinstance(error, BlockingIOError):
            return OSError(f"{self.directory} cannot be locked: {error.strerror}.")
        file.seek(0)
        try:
            holder = json.loads(file.read())
            who = f"process {holder['pid']} on {holder['host']}"
        except (ValueError, KeyError, TypeError):  # not written yet, or garbage
            who = "another process"
        return BlockingIOError(
            f"The run folder {self.directory} is in use by {who}. "
            "Wait until that ends, or give another folder."
        )
