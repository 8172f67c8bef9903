"""Decoded images of a source on disk, as uint8 of one size, mapped into memory."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.data.cache import cache_folder
from jaxcnn.data.crops import Crop, Placement, RandomResizedCrop, Stretch
from jaxcnn.data.decoding import MODES, Decoder

# Part of every key: raise it when what is stored changes its meaning.
_FORMAT = 1
_MAGIC = b"JAXCNN decoded\n"
_ALIGN = 4096
# Images that are decoded together.
_CHUNK = 64
# One row of the table: the label, (width, height) before, the sum of the pixels.
_ROW = np.dtype([("label", "<i4"), ("size", "<i4", 2), ("crc", "<u4")])


@dataclasses.dataclass(frozen=True)
class CachedImage:
    """What is kept of an example.

    Attributes:
        pixels: uint8 `[height, width, channels]`, mapped.
        whole: `(width, height)` of the upright image it was made of.
        label: Its class, -1 without one.
    """

    pixels: np.ndarray
    whole: tuple[int, int]
    label: int = -1


class DecodedCache:
    """A file of decoded images, by the numbers of their records.

    It holds a header with its key, a table and `[N, height, width, channels]` bytes. It
    is written under another name and then renamed, so it is there as a whole or not at
    all; the header and the table have a checksum, and each image has its own, which is
    looked at when the image is read. It is mapped, so processes share its pages.

    Args:
        path: The file.
        indices: The numbers of the records, ascending.
    """

    def __init__(self, path: Path, indices: np.ndarray) -> None:
        self.path, self._indices = Path(path), indices
        self._table: np.ndarray | None = None
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A worker maps the file itself.
        return {**self.__dict__, "_table": None, "_pixels": None}

    def open(self, key: str) -> bool:
        """Maps the file and returns whether it is whole and has this key."""
        try:
            header = self._map()
        # Whatever is wrong with it, it is made anew.
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return header["key"] == key and len(self._table) == len(self._indices)

    def _map(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            if file.readline() != _MAGIC:
                raise ValueError(f"'{self.path}' is no cache of decoded images")
            line = file.readline(_ALIGN)
            header = json.loads(line)
            table = file.read(header["rows"] * _ROW.itemsize)
            size = os.fstat(file.fileno()).st_size
        shape = (header["rows"], *header["shape"])
        start = _data_start(header["rows"])
        whole = size == start + int(np.prod(shape))
        if not whole or zlib.crc32(table) != header["crc"]:
            raise ValueError(f"'{self.path}' is damaged")
        self._table = np.frombuffer(table, _ROW)
        self._pixels = np.memmap(self.path, np.uint8, "r", start, shape)
        return header

    def get(self, index: int) -> CachedImage | None:
        """Returns what is kept of a record, None if it is broken or damaged here."""
        if self._pixels is None:
            self._map()
        row = int(np.searchsorted(self._indices, index))
        if row == len(self._indices) or self._indices[row] != index:
            return None
        label, whole, crc = self._table[row]
        if not whole[0]:
            return None
        pixels = self._pixels[row]
        if zlib.crc32(pixels) != crc:
            warnings.warn(
                f"'{self.path}' is damaged: an image is decoded anew; delete the file",
                stacklevel=2,
            )
            return None
        return CachedImage(pixels, (int(whole[0]), int(whole[1])), int(label))


def _key(source: Any, crop: Crop, shape: tuple[int, ...]) -> str:
    """Returns what a cache of a source's images depends on, as a hash."""
    stamps = getattr(source.records, "stamps", lambda: b"")()
    parts = [_FORMAT, source.fingerprint(), repr(crop), list(shape), source.on_broken]
    digest = hashlib.blake2b(repr(parts).encode() + stamps, digest_size=16)
    return digest.hexdigest()


class KeptImages:
    """A cache, and how a crop is looked at through it.

    Args:
        cache: The images on disk.
        decoder: Of the source.
        crop: What is kept of an image: what evaluation sees, or the whole image.
        keeper: Makes the channels that are kept.
    """

    def __init__(
        self, cache: DecodedCache, decoder: Decoder, crop: Crop, keeper: Decoder
    ) -> None:
        self._cache, self._decoder = cache, decoder
        self._crop, self._keeper = crop, keeper

    def get(self, index: int) -> CachedImage | None:
        """Returns what is kept of a record, None if it is broken or damaged here."""
        return self._cache.get(index)

    def make(self, data: Any) -> CachedImage:
        """Returns what is to be kept of an example, from its files."""
        pixels, _, whole = self._keeper(data, self._crop)
        return CachedImage(pixels, whole)

    def view(
        self, kept: CachedImage, crop: Crop, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, Placement, tuple[int, int]]:
        """Returns pixels, their placement and the image's size, as `Decoder` does."""
        placement = crop.place(*kept.whole, rng)
        if crop == self._crop:
            return kept.pixels, placement, kept.whole
        pixels = self._decoder.with_edges(_cut(kept, crop, placement))
        return pixels, placement, kept.whole


def keep_decoded(source: Any, crop: Crop, size: int | None = None) -> KeptImages:
    """Returns a source's images as a crop needs them, decoded now if not on disk.

    Args:
        source: A `LazySource`.
        crop: One of its crops.
        size: Pixels of a side of the whole images that random crops are cut from.

    Raises:
        OSError: if they cannot be written.
        ValueError: if an image is broken and the source does not skip such, or `size`
            is less than the crops.
    """
    kept_crop, decoder = crop, source.decoder
    if isinstance(crop, RandomResizedCrop):
        largest = max(crop.size)
        size = round(largest / 0.875) if size is None else size
        if size < largest:
            raise ValueError(
                f"size of the cache is {size}, expected at least {largest}, the size "
                "of the crops"
            )
        kept_crop = Stretch((size, size))
        # Edges are those of what comes out: they are found after the crop.
        decoder = dataclasses.replace(decoder, edges=False)
    shape = (*kept_crop.size, decoder.channels)
    key, indices = _key(source, kept_crop, shape), np.unique(source.indices)
    stem = re.sub(r"[^\w.]+", "-", Path(source.name).name) or "images"
    cache = DecodedCache(cache_folder() / f"{stem}-{key}.decoded", indices)
    kept = KeptImages(cache, source.decoder, kept_crop, decoder)
    if not cache.open(key):
        with _replacing(cache.path) as file:
            rows = _rows(source, indices, shape, kept.make)
            _write(file, key, shape, len(indices), rows)
        if not cache.open(key):
            raise OSError(f"'{cache.path}' cannot be read back")
    return kept


def _rows(
    source: Any,
    indices: np.ndarray,
    shape: tuple[int, ...],
    make: Callable[[Any], CachedImage],
) -> Iterator[CachedImage]:
    """Yields what is to be kept of every record, of size (0, 0) if it is broken."""

    def one(index: int) -> tuple[CachedImage, Exception | None]:
        data, label = source.records.read(index)
        try:
            return dataclasses.replace(make(data), label=label), None
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
        except Exception as error:
            return CachedImage(np.zeros(shape, np.uint8), (0, 0), label), error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(indices), _CHUNK):
            part = [int(index) for index in indices[start : start + _CHUNK]]
            for index, (kept, error) in zip(part, pool.map(one, part), strict=True):
                if error is not None:
                    source.report_broken(index, error)
                yield kept


def _write(
    file: Any, key: str, shape: tuple[int, ...], count: int, rows: Iterator[CachedImage]
) -> None:
    """Writes the pixels as they come; then, before them, the header and the table.

    Written, not mapped: a full disk is an error then, not the end of the process.
    """
    table = np.zeros(count, _ROW)
    file.seek(_data_start(count))
    for row, kept in enumerate(rows):
        content = np.ascontiguousarray(kept.pixels).tobytes()
        table[row] = (kept.label, kept.whole, zlib.crc32(content))
        file.write(content)
    header = {
        "key": key,
        "rows": count,
        "shape": list(shape),
        "crc": zlib.crc32(table.tobytes()),
    }
    file.seek(0)
    file.write(_MAGIC + json.dumps(header).encode() + b"\n" + table.tobytes())


def _data_start(rows: int) -> int:
    """Returns where the pixels begin: behind the table, at a whole page."""
    used = _ALIGN + rows * _ROW.itemsize
    return -(-used // _ALIGN) * _ALIGN


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """Gives a file that takes the path's place if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _cut(kept: CachedImage, crop: Crop, placement: Placement) -> np.ndarray:
    """Returns the part of a kept whole image that a placement in the original names."""
    from PIL import Image

    height, width, channels = kept.pixels.shape
    x, y = width / kept.whole[0], height / kept.whole[1]
    left, top, right, bottom = placement.box
    box = (left * x, top * y, right * x, bottom * y)
    placed = Placement(box, placement.mirrored)
    if channels in MODES:
        planes = [kept.pixels[..., 0] if channels == 1 else kept.pixels]
    else:
        planes = [kept.pixels[..., c] for c in range(channels)]
    found = [
        np.asarray(crop.cut(Image.fromarray(np.ascontiguousarray(plane)), placed))
        for plane in planes
    ]
    found = [plane[..., None] if plane.ndim == 2 else plane for plane in found]
    return found[0] if len(found) == 1 else np.concatenate(found, -1)
