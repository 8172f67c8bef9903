"""PyTorch's files, zip and the older serialisation, read without PyTorch."""

import io
import mmap
import reprlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.transfer.restricted_pickle import Known, read_pickle
from jaxcnn.transfer.torch_tensors import Storage, Tensor, find, storage_of

#: How the older files begin: the pickle of a number.
LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")

#: What a damaged archive ends in: RuntimeError if it seems encrypted or too new,
#: OSError if an entry seems to lie outside.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    OSError,
    struct.error,
)

# Averaged weights are what their authors publish the accuracy of.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
# Wrappers that name what they wrap: DataParallel, torch.compile.
_PREFIXES = ("module.", "_orig_mod.")
# What AveragedModel counts its steps in, beside the module that it wraps.
_COUNTER = "n_averaged"

_ReadStorage = Callable[[str], bytes | memoryview]


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict that PyTorch 1.6 or later saved.

    Args:
        path: A zip archive that holds `data.pkl`.

    Raises:
        ValueError: if the pickle asks for more than tensors and containers, the
            archive is damaged, or it holds no state dict.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            root = _root(entries)

            def read(name: str) -> bytes:
                if f"{root}{name}" not in entries:
                    raise ValueError(f"it has no entry {root}{name}")
                entry = entries[f"{root}{name}"]
                if entry.file_size > size:  # a little that unpacks to a lot
                    raise ValueError(f"its entry {entry.filename} is compressed")
                return archive.read(entry)

            if f"{root}byteorder" in entries and read("byteorder") != b"little":
                raise ValueError("its numbers are big-endian")
            content = read_pickle(io.BytesIO(read("data.pkl")), find, storage_of)
            storages: dict[str, bytes] = {}

            def read_storage(key: str) -> bytes:
                if key not in storages:
                    storages[key] = read(f"data/{key}")
                return storages[key]

            return _arrays(content, read_storage)
    except ZIP_ERRORS as error:
        raise ValueError(f"it is damaged ({error})") from error


def _root(entries: Mapping[str, Any]) -> str:
    """Returns the folder inside the archive, with its slash."""
    root = next(name for name in entries if name.split("/")[-1] == "data.pkl")
    root = root.removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise ValueError("it is a TorchScript program; save its state_dict() instead")
    return root


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict that PyTorch before 1.6 saved.

    Five pickles, then for each storage the count of its numbers and the numbers.

    Raises:
        ValueError: as `read_torch_zip`.
    """
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    dtypes: dict[str, np.dtype] = {}

    def persistent(value: Any) -> Storage:
        storage = storage_of(value)
        dtypes.setdefault(storage.key, storage.dtype)
        return storage

    def plain() -> Any:
        return read_pickle(memory, find, storage_of)

    _magic, version, system = plain(), plain(), plain()
    if version != 1001 or not isinstance(system, dict):
        raise ValueError(
            f"it says protocol {reprlib.repr(version)}, 1001 is what is known"
        )
    if not system.get("little_endian", True):
        raise ValueError("its numbers are big-endian")
    content = read_pickle(memory, find, persistent)
    storages = _storages(memory, plain(), dtypes)
    return _arrays(content, storages.__getitem__)


def _storages(
    memory: mmap.mmap, keys: Any, dtypes: Mapping[str, np.dtype]
) -> dict[str, memoryview]:
    """Returns the bytes of each storage; the file is at the first."""
    known = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not known or not dtypes.keys() <= set(keys):
        raise ValueError("its list of storages is damaged")
    view, position = memoryview(memory), memory.tell()
    found = {}
    for key in keys:
        if position + 8 > len(view):
            raise ValueError("it is cut short")
        (count,) = struct.unpack_from("<q", view, position)
        itemsize = dtypes[key].itemsize if key in dtypes else 1
        end = position + 8 + count * itemsize
        if count < 0 or end > len(view):
            raise ValueError("it is cut short")
        found[key] = view[position + 8 : end]
        position = end
    return found


def _arrays(content: Any, read: _ReadStorage) -> dict[str, np.ndarray]:
    tensors = _state_dict(content)
    return {name: tensor.resolve(read) for name, tensor in tensors.items()}


def _state_dict(content: Any) -> dict[str, Tensor]:
    """Returns the tensors by name, out of the dictionaries that trainers save."""
    if isinstance(content, dict):
        for key in _NESTED:
            if isinstance(content.get(key), dict) and _tensors(content[key]):
                return _unwrapped(_tensors(content[key]))
        if tensors := _tensors(content):
            return _unwrapped(tensors)
        keys = ", ".join(map(_shown, list(content)[:8])) or "nothing"
        raise ValueError(f"it holds no state dict; its keys are {keys}")
    raise ValueError(f"it holds a {type(content).__name__}, not a state dict")


def _tensors(content: dict[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:  # either may be inside the other
        rest = {name: t for name, t in tensors.items() if name != _COUNTER}
        if all(name.startswith(prefix) for name in rest):
            tensors = rest or tensors
            tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
    return tensors


def _shown(key: Any) -> str:
    return key.name if isinstance(key, Known) else reprlib.repr(key)
