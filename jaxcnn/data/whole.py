"""Pictures as they are stored, one after the other: neither cropped nor resized."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.data.decoding import NPY_MAGIC
from jaxcnn.data.hashes import perceptual_hash, pixel_digest
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.records import FolderRecords
from jaxcnn.data.source import Source

# Encoded pictures in memory at a time; of decoded ones there is one a thread.
_CHUNK = 64
_PART = 1 << 17
_DEEP = ("I;16", "I;16L", "I;16B", "I", "F")


class Facts(NamedTuple):
    """What is kept of a picture.

    Attributes:
        size: `(height, width)`, upright; all spatial axes of a sequence or volume.
        mode: Pillow's name of the channels, or their number and type.
        mean: Of every channel, where integers span 0..1, float64.
        square: The mean of the squares.
        digest: Equal for equal pixels, see `pixel_digest`.
        near: The perceptual hash, None for what is too small or too plain.
        label: The class, -1 without one.
        broken: Why it cannot be decoded; the other fields then say nothing.
    """

    size: tuple[int, ...] = ()
    mode: str = ""
    mean: tuple[float, ...] = ()
    square: tuple[float, ...] = ()
    digest: bytes = b""
    near: np.ndarray | None = None
    label: int = -1
    broken: str | None = None


def read_facts(source: Source | LazySource, *, near: bool = True) -> Iterator[Facts]:
    """Yields what there is to know of every example, in order.

    Encoded pictures are decoded in threads, whole; one that cannot be is `broken`.

    Args:
        source: One split.
        near: Whether to make perceptual hashes.
    """
    if isinstance(source, Source):
        for index, pixels in enumerate(source.images):
            mode = f"{pixels.shape[-1]} x {pixels.dtype}"
            label = -1 if source.labels is None else int(source.labels[index])
            yield _facts(pixels, mode, near and source.rank == 2)._replace(label=label)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(source), _CHUNK):
            chunk = source.indices[start : start + _CHUNK]
            encoded = [_read(source, int(index)) for index in chunk]
            yield from pool.map(lambda row: _decoded_facts(*row, near), encoded)


def _read(source: LazySource, index: int) -> tuple[bytes | Exception, int]:
    try:
        return source.records.read(index)
    except (OSError, ValueError) as error:
        known = isinstance(source.records, FolderRecords)
        return error, int(source.records.labels()[index]) if known else -1


def _decoded_facts(data: bytes | Exception, label: int, near: bool) -> Facts:
    try:
        if isinstance(data, Exception):
            raise data
        pixels, mode = decode_whole(data)
        return _facts(pixels, mode, near)._replace(label=label)
    # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        if not data:
            reason = "the file is empty"
        return Facts(label=label, broken=reason)


def _facts(pixels: np.ndarray, mode: str, near: bool) -> Facts:
    *size, channels = pixels.shape
    mean, square = np.transpose([_moments(pixels[..., c]) for c in range(channels)])
    return Facts(
        tuple(size),
        mode,
        tuple(mean.tolist()),
        tuple(square.tolist()),
        pixel_digest(pixels),
        perceptual_hash(pixels) if near else None,
    )


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Returns the means of the values and of their squares; integers span 0..1."""
    values = values.ravel()
    # In parts: a whole picture in eight bytes a value would be large.
    starts = range(0, len(values), _PART)
    if values.dtype == np.uint8:
        counts = np.zeros(256, np.int64)
        for start in starts:
            counts += np.bincount(values[start : start + _PART], minlength=256)
        bytes_ = np.arange(256) / 255
        return counts @ bytes_ / values.size, counts @ bytes_**2 / values.size
    largest = 1.0
    if np.issubdtype(values.dtype, np.integer):
        largest = float(np.iinfo(values.dtype).max)
    total = squares = 0.0
    for start in starts:
        part = values[start : start + _PART].astype(np.float64) / largest
        total, squares = total + part.sum(), squares + part @ part
    return total / len(values), squares / len(values)


def decode_whole(data: bytes) -> tuple[np.ndarray, str]:
    """Returns all pixels of an encoded picture, upright, and its mode in the file.

    Args:
        data: A file in a format that Pillow reads, or a `.npy`.

    Returns:
        `[height, width, channels]`: uint8, uint16 for 16 bits a channel, float32 for
        Pillow's `F`; palettes and colour spaces other than RGB are RGB, or RGBA. Of a
        `.npy` the values as they are, and their type for a mode.

    Raises:
        OSError: if it is damaged. Pillow raises other errors for some damages.
    """
    if data.startswith(NPY_MAGIC):
        values = np.load(io.BytesIO(data), allow_pickle=False)
        if values.ndim not in (2, 3):
            raise OSError(f"it has shape {list(values.shape)}, expected a picture's")
        return values[..., None] if values.ndim == 2 else values, str(values.dtype)
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as image:
        mode = image.mode
        image = ImageOps.exif_transpose(image)
        if image.mode == "1":
            image = image.convert("L")
        elif image.mode not in ("L", "LA", "RGB", "RGBA", *_DEEP):
            clear = "transparency" in image.info or image.mode in ("PA", "RGBa")
            image = image.convert("RGBA" if clear else "RGB")
        pixels = np.asarray(image)
    if pixels.dtype == np.int32:
        # 16-bit PNGs of older Pillows are of mode I.
        pixels = pixels.clip(0, 65535)
    if mode in _DEEP and mode != "F":
        pixels = pixels.astype(np.uint16)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), mode


def example_name(source: Source | LazySource, position: int) -> str:
    """Returns the path of an example's file, or `split[number]`."""
    records: Any = getattr(source, "records", None)
    if isinstance(records, FolderRecords):
        return records.name(int(source.indices[position])).strip("'")
    return f"{source.split}[{position}]"


def pixels_of(source: Source | LazySource, position: int) -> np.ndarray:
    """Returns an example as it is stored, `[height, width, channels]`.

    Raises:
        OSError: if it is damaged; Pillow raises other errors for some damages.
    """
    if isinstance(source, Source):
        return source.images[position]
    data, _ = source.records.read(int(source.indices[position]))
    return decode_whole(data)[0]
