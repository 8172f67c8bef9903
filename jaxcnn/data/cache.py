"""Decoded arrays kept on disk, so that the second start does not decode again."""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
# Part of every key: raise it when what is stored changes its meaning.
_FORMAT = 1


def home_folder() -> Path:
    """Returns `$JAXCNN_HOME`, by default `~/.cache/jaxcnn`; it may not exist yet."""
    home = os.environ.get("JAXCNN_HOME") or os.path.join("~", ".cache", "jaxcnn")
    return Path(os.path.expanduser(home))


def cache_folder() -> Path:
    """Returns where decoded datasets are kept; the folder may not exist yet.

    `$JAXCNN_HOME/datasets`, by default `~/.cache/jaxcnn/datasets`. It may be deleted at
    any time.
    """
    return home_folder() / "datasets"


def load_or_make(name: str, key: Any, make: Callable[[], Arrays]) -> Arrays:
    """Returns the arrays stored under a key, made and stored if they are not there.

    A damaged file counts as absent. A folder that cannot be written to costs a warning.

    Args:
        name: Begins the file's name, for people who look into the folder.
        key: Anything JSON can write; other keys are other files.
        make: Makes the arrays.
    """
    digest = hashlib.blake2b(json.dumps([_FORMAT, key]).encode(), digest_size=8)
    path = cache_folder() / f"{name}-{digest.hexdigest()}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = make()
        try:
            _write(path, arrays)
        except OSError as error:
            warnings.warn(
                f"decoded images are not kept for the next start: {error}; set "
                "JAXCNN_HOME to a folder with room, or pass cache=False",
                stacklevel=2,
            )
    return arrays


def _read(path: Path) -> Arrays | None:
    """Returns the arrays of a file, None if it is absent or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    # The archive checks its contents' sums: a flipped byte ends here too.
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    """Writes a file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
