"""Weights from a file of any kind, recognised by what it holds."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.transfer.keras_file import HDF5_MAGIC, read_keras
from jaxcnn.transfer.safetensors import is_safetensors, read_safetensors
from jaxcnn.transfer.torch_file import (
    LEGACY_MAGIC,
    ZIP_ERRORS,
    read_torch_legacy,
    read_torch_zip,
)

#: Where `jaxcnn convert` puts the configuration, in the header's metadata.
METADATA_KEY = "jaxcnn"
# Numbers hardly compress: an archive that unpacks to many times its size is a trap.
_MOST_UNPACKED = 2**30
_MOST_COMPRESSED = 20
_KNOWN = ".pth and .pt of PyTorch, .safetensors, .npz, .h5 and .keras of Keras"


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Attributes:
        arrays: The arrays by the names that they have in the file.
        kind: `"torch"`, `"safetensors"`, `"npz"` or `"keras"`.
        config: What the file says of its model, if `jaxcnn convert` wrote it.
    """

    arrays: dict[str, np.ndarray]
    kind: str
    config: dict[str, Any] | None = None


def read_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Returns the arrays of a file, whatever its name is.

    Files are never trusted: nothing that one names is imported or called.

    Args:
        path: PyTorch's `.pth` and `.pt`, zip or older; `.safetensors`; `.npz`; Keras's
            `.h5` and `.keras` (extra `h5`).

    Raises:
        ValueError: if the file is of no known kind, damaged, or asks for more than
            arrays and containers.
        OSError: if it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights {path}.")
    try:
        return _read(path)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    except MemoryError as error:
        raise ValueError(
            f"{path} cannot be read: it asks for more memory than there is ({error})."
        ) from error


def _read(path: Path) -> WeightFile:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(LEGACY_MAGIC):
        return WeightFile(read_torch_legacy(path), "torch")
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if head.startswith(HDF5_MAGIC):
        return WeightFile(read_keras(path), "keras")
    if is_safetensors(head):
        arrays, metadata = read_safetensors(path)
        return WeightFile(arrays, "safetensors", _config(metadata))
    raise ValueError(_unknown(head))


def _read_zip(path: Path) -> WeightFile:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except ZIP_ERRORS as error:
        raise ValueError(f"it is damaged or cut short ({error})") from error
    _check_entries(entries, path.stat().st_size)
    names = [entry.filename for entry in entries]
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return WeightFile(read_torch_zip(path), "torch")
    if "model.weights.h5" in names:
        return WeightFile(read_keras(path), "keras")
    if names and all(name.endswith(".npy") for name in names):
        return WeightFile(_read_npz(path), "npz")
    raise ValueError(f"it is a zip archive without weights; known are {_KNOWN}")


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raises ValueError for compression that no file of weights has."""
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"its entry {entry.filename} is compressed by method "
                f"{entry.compress_type}, which is not read"
            )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(_MOST_UNPACKED, _MOST_COMPRESSED * size):
        raise ValueError(f"its {size:,} bytes unpack to {unpacked:,}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, *ZIP_ERRORS) as error:
        if "allow_pickle" in str(error):
            raise ValueError("it holds Python objects, which are not read") from error
        raise ValueError(f"it is damaged ({error})") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy gives the bytes of other files
            raise ValueError(f"it is damaged ({name} is no array)")
    return arrays


def _config(metadata: dict[str, Any]) -> dict[str, Any] | None:
    if METADATA_KEY not in metadata:
        return None
    try:
        config = json.loads(metadata[METADATA_KEY])
        return {"model": str(config["model"]), **config}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its configuration is damaged ({error!r})") from error


def _unknown(head: bytes) -> str:
    """Returns what is wrong with a file that is of no known kind."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself with git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "it is a web page, not a file of weights"
    if head[257:262] == b"ustar" or b"PaxHeader" in head[:100]:
        return (
            "it is a tar file, as PyTorch before 0.1.10 wrote them; "
            "load it with PyTorch, if you trust it, and save it again"
        )
    if head[:1] == b"\x80":
        return "it is a pickle that torch.save did not write"
    return f"its kind is not known; known are {_KNOWN}"
