"""Bytes of files and archives, gzipped or not, with errors that name the file."""

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from etils import epath

_GZIP_MAGIC = b"\x1f\x8b"
_TAR_END = bytes(1024)  # two empty blocks, as POSIX has it


def as_path(path: epath.PathLike) -> epath.Path:
    """Returns a local or remote path, `~` expanded."""
    return epath.Path(path).expanduser()


def read_bytes(path: epath.PathLike) -> bytes:
    """Returns the content of a file, unpacked if it is gzipped.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its compression is damaged.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file '{path}'")
    return _gunzip(path.read_bytes(), str(path))


def _gunzip(content: bytes, where: str) -> bytes:
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"'{where}' is damaged: bad gzip ({error})") from error


def list_files(path: epath.PathLike) -> Mapping[str, Callable[[], bytes]]:
    """Returns how to read each file of a folder or a tar archive, by its bare name.

    `.gz` is dropped from names; a file that is there in both forms is read unpacked.

    Raises:
        ValueError: if the archive is damaged.
    """
    path = as_path(path)
    if not path.is_dir():
        return _list_archive(path)
    # Sorted in reverse, "a.gz" comes before "a", which then takes its place.
    files = sorted((p for p in path.iterdir() if not p.is_dir()), reverse=True)
    return {p.name.removesuffix(".gz"): lambda p=p: read_bytes(p) for p in files}


def _list_archive(path: epath.Path) -> Mapping[str, Callable[[], bytes]]:
    content = read_bytes(path)
    try:
        # An archive cut between two files reads well, but lacks this mark.
        if not content.endswith(_TAR_END):
            raise EOFError("it has no end")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            contents = {
                member.name.rsplit("/", 1)[-1].removesuffix(".gz"): _gunzip(
                    archive.extractfile(member).read(), f"{path}:{member.name}"
                )
                for member in archive
                if member.isfile()
            }
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"'{path}' is damaged or no tar archive ({error})") from error
    return {name: lambda data=data: data for name, data in contents.items()}


@contextlib.contextmanager
def written_whole(path: epath.PathLike) -> Iterator[IO[str]]:
    """Gives a text file that takes the path's place at the end, or not at all.

    Until then, and after an error, what was there stays.

    Raises:
        OSError: if it cannot be written.
    """
    path = as_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder '{path.parent}' for {path.name}.")
    part = path.with_name(f"{path.name}.part")
    try:
        # The line ends that the writer gives, also where those of the system differ.
        with (
            part.open("wb") as file,
            io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
        ):
            yield text
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
