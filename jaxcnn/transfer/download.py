"""Published files, downloaded once: resumed, verified, kept in one folder."""

import contextlib
import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from jaxcnn.data.cache import home_folder
from jaxcnn.transfer.pretrained import PretrainedConfig
from jaxcnn.version import __version__

_log = logging.getLogger("jaxcnn")
_CHUNK = 1 << 20
_TRIES = 3
_TIMEOUT = 30.0  # seconds without a byte


def weights_folder() -> Path:
    """Returns where downloaded weights are kept: `$JAXCNN_HOME/weights`.

    By default `~/.cache/jaxcnn/weights`. The folder may not exist yet, and may be
    deleted at any time.
    """
    return home_folder() / "weights"


def fetch(config: PretrainedConfig) -> Path:
    """Returns the verified file of a published set, downloaded if it is not there.

    Several processes may ask at once: one downloads, the others wait for it.

    Raises:
        OSError: if the file is neither there nor can be downloaded; the message says
            where it is published, what its hash is and where to put it.
        ValueError: if the file is not the one that was published.
    """
    name = config.file
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"file must be a name without folders, got {name!r}.")
    path = weights_folder() / name
    with _locked(path):
        if path.exists():
            _verify(path, config, "Delete it, and it will be downloaded anew.")
            return path
        if not config.address:
            raise FileNotFoundError(_advice(config, path, "has no address"))
        part = path.with_name(f"{path.name}.part")
        if config.hash is None:  # nobody would see that it is of another file
            part.unlink(missing_ok=True)
        try:
            _download(config.address, part)
        except OSError as error:
            reason = f"cannot be downloaded ({_reason(error)})"
            raise OSError(_advice(config, path, reason)) from error
        try:
            _verify(part, config, "It was deleted; try again.")
        except ValueError:
            part.unlink()
            raise
        part.replace(path)
    return path


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error)


def _advice(config: PretrainedConfig, path: Path, reason: str) -> str:
    where = f" Get it from {config.address}" if config.address else " Get it"
    known = f" ({config.hash})" if config.hash else ""
    return (
        f"{config.weights} of {config.model} is not in the cache and {reason}."
        f"{where}{known} and put it at {path}."
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process at a time fetch a file; the lock dies with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            import fcntl
        except ImportError:  # Windows: downloads at once may spoil each other
            pass
        else:
            file = stack.enter_context(open(path.with_name(f".{path.name}.lock"), "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _verify(path: Path, config: PretrainedConfig, advice: str) -> None:
    """Raises ValueError unless the file's hash begins as the published one."""
    if config.hash is None:
        _log.warning("%s: no hash is published, so it is not verified", path)
        return
    kind, _, expected = config.hash.partition(":")
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    if not expected or not found.startswith(expected):
        raise ValueError(
            f"{path} is not what was published: its {kind} is {found}, "
            f"{expected} is expected. {advice}"
        )


def _download(address: str, part: Path) -> None:
    """Downloads to `part`, from where an earlier attempt ended.

    Raises:
        OSError: if the server cannot be reached, refuses, or breaks off again and
            again; what has come is kept.
    """
    for attempt in range(_TRIES):
        try:
            if _continue(address, part):
                return
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: there is nothing behind what we have
                raise
            part.unlink()
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            if attempt == _TRIES - 1:
                raise OSError(f"the connection broke: {error!r}") from error
    size = part.stat().st_size if part.exists() else 0
    raise OSError(f"the connection broke after {size:,} bytes; try again to go on")


def _continue(address: str, part: Path) -> bool:
    """Downloads what is missing of a file; returns whether all has come."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"jaxcnn/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumes = answer.status == 206
        length = answer.headers.get("Content-Length")
        start = have if resumes else 0
        total = None if length is None else start + int(length)
        progress = tqdm(
            desc=os.path.basename(address),
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
        )
        with progress, part.open("ab" if resumes else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
    return total is None or part.stat().st_size >= total
