"""The safetensors format: a JSON header with names, types and places, then numbers.

The format is described at https://github.com/huggingface/safetensors.
"""

import json
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "C64": np.complex64,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
# As the reference implementation: no header of weights is near it.
_LONGEST_HEADER = 100_000_000
_MOST_AXES = 64  # as NumPy


def is_safetensors(head: bytes) -> bool:
    """Tells whether a file that begins with `head` is one."""
    if len(head) < 9:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return head[8:9] == b"{" and length <= _LONGEST_HEADER


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays by name, mapped from the file, and its metadata.

    Raises:
        ValueError: if the header is damaged, or says what the file does not hold.
    """
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack_from("<Q", memory)
    if 8 + length > len(memory):
        raise ValueError("it is cut short within its header")
    header = _header(memory[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("its header is damaged (__metadata__ is no object)")
    data = memoryview(memory)[8 + length :]
    arrays = {name: _array(name, row, data) for name, row in header.items()}
    _check_places([row["data_offsets"] for row in header.values()], len(data))
    return arrays, metadata


def _check_places(places: list[list[int]], size: int) -> None:
    """Raises ValueError unless every byte is one array's, as the format demands."""
    position = 0
    for begin, end in sorted(places):
        if begin != position:
            raise ValueError(
                f"its header is damaged: an array begins at byte {begin:,}, where the "
                f"one before ends at {position:,}"
            )
        position = end
    if position != size:
        raise ValueError(
            f"its header is damaged: it speaks of {position:,} bytes of {size:,}"
        )


def _header(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is there twice")
        return found

    try:
        header = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is damaged ({error})") from error
    if not isinstance(header, dict):
        raise ValueError("its header is damaged (it is no object)")
    return header


def _array(name: str, row: Any, data: memoryview) -> np.ndarray:
    try:
        dtype, shape = np.dtype(_DTYPES[row["dtype"]]), row["shape"]
        begin, end = row["data_offsets"]
        sizes = [*shape, begin, end]
        if not isinstance(shape, list) or len(shape) > _MOST_AXES:
            raise ValueError("shape")
        if not all(type(n) is int and n >= 0 for n in sizes):
            raise ValueError(f"sizes {sizes}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its header is damaged at {name!r} ({error!r})") from error
    if end > len(data):
        raise ValueError(
            f"it is cut short: {name!r} ends at byte {end:,} of {len(data):,}"
        )
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"its header is damaged: {name!r} of shape {shape} in {end - begin:,} bytes"
        )
    return np.frombuffer(data[begin:end], dtype).reshape(shape)


def write_safetensors(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes arrays by name; the file is there as a whole or not at all.

    Args:
        path: Where to.
        arrays: Numbers of any type that the format knows.
        metadata: Text by name, for the header.

    Raises:
        ValueError: for an array of another type, such as objects.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.dtype not in _NAMES:
            raise ValueError(
                f"{name!r} is {array.dtype}, which safetensors cannot hold."
            )
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8
    path = Path(path)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with open(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for array in arrays.values():
                file.write(np.ascontiguousarray(array).tobytes())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
