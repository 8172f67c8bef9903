"""The only place that speaks Orbax: named arrays to a folder and back."""

import logging
import os
import re
from collections.abc import Callable
from typing import Any

from etils import epath


def write(folder: epath.Path, arrays: dict[str, Any]) -> Callable[[], None]:
    """Starts to write arrays to a folder that does not exist yet.

    The values are safe when this returns: they may be donated. All processes take part.

    Returns:
        A function that waits for the end and raises what went wrong.
    """
    from orbax.checkpoint import v1

    logging.getLogger("absl").addFilter(_is_wanted)
    context = v1.Context()
    # Made in the background, a folder that cannot be made leaves threads that wait
    # twenty minutes for it.
    context.async_options.create_directories_asynchronously = False
    # A file that nobody reads here. Where it cannot be written the loop of the other
    # writes is closed under them, and each prints a traceback.
    context.array.saving.array_metadata_store = None
    with context:
        return v1.save_async(folder, arrays).result


def read(folder: epath.Path, placements: dict[str, Any]) -> dict[str, Any]:
    """Reads arrays by name, each placed as its `ShapeDtypeStruct` or NumPy array."""
    from orbax.checkpoint import v1

    context = v1.Context()
    context.pytree.loading.partial_load = True
    context.array.loading.raise_array_data_missing_error = True
    with context:
        return v1.load(folder, placements)


def os_error(error: BaseException) -> OSError | None:
    """Returns the error of the file system behind an exception of Orbax, if any.

    TensorStore, which writes for Orbax, reports a full disk as a ValueError.
    """
    if isinstance(error, OSError):
        return error
    if match := re.search(r"os_error_code='(\d+)'", str(error)):
        code = int(match[1])
        return OSError(code, os.strerror(code))
    return None


def _is_wanted(record: logging.LogRecord) -> bool:
    """Tells a log record from the tracebacks that Orbax's threads log.

    They raise the same error, and log it at any time, also after the error was raised.
    """
    return "_SignalingThread.run() raised an exception" not in record.getMessage()
