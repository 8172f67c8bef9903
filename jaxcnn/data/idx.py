"""IDX files, the format of MNIST and its family."""

import math
import re
import struct

import numpy as np
from etils import epath

from jaxcnn.data.files import as_path, read_bytes
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, unknown_split

# The third byte of a file, http://yann.lecun.com/exdb/mnist (the page's last section).
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# EMNIST puts its own name in front and says "test"; some copies have a dot for a dash.
_FILE = re.compile(r"(?:.+-)?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(?:\.gz)?")
_SPLITS = {"train": "train", "t10k": "test", "test": "test"}
#: Datasets that are published as IDX files, and the class names their pages give.
FAMILY: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "emnist": (),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}


def read_idx(path: epath.PathLike) -> np.ndarray:
    """Returns the array of one IDX file, gzipped or not.

    Args:
        path: A file: two zero bytes, a type, a rank, the sizes as big-endian 32-bit
            integers, then the values.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no IDX file, or longer or shorter than it says.
    """
    content = read_bytes(path)
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(
            f"'{path}' is not an IDX file: it starts with bytes {magic.hex(' ')!r}, "
            "expected '00 00', a type from 08 to 0e and the rank"
        )
    dtype, rank = np.dtype(_DTYPES[magic[2]]), magic[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start].ljust(4 * rank, b"\0"))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"'{path}' is damaged: {dtype.name} of shape {list(shape)} takes "
            f"{expected:,} bytes, the file holds {len(content):,}"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def has_idx_files(folder: epath.PathLike) -> bool:
    """Returns whether a folder holds images as IDX files."""
    return any(kind == "images" for _, kind in _find(as_path(folder)))


def read_idx_folder(
    folder: epath.PathLike, split: Split, *, name: str | None = None
) -> Source:
    """Returns a split from a folder with the four files of MNIST or its relatives.

    Args:
        folder: Holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same
            for `t10k`, gzipped or not; a pair that is not asked for may be absent.
        split: `train`, `test` or a slice of one.
        name: What to call the data; gives the class names where it is known.

    Raises:
        FileNotFoundError: if there is no such folder, or images come without labels.
        ValueError: if there is no such split, or a file is damaged.
    """
    folder = as_path(folder)
    found, name = _find(folder), name or f"idx:{folder}"
    available = {base for base, kind in found if kind == "images"}
    if not available:
        raise FileNotFoundError(
            f"there are no IDX files in '{folder}'; expected names such as "
            "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
        )
    if split.base not in available:
        raise unknown_split(name, split.base, available)
    if (split.base, "labels") not in found:
        raise FileNotFoundError(
            f"'{found[split.base, 'images']}' has no labels file beside it"
        )
    images = read_idx(found[split.base, "images"])
    labels = read_idx(found[split.base, "labels"])
    names = FAMILY.get(name) or _numbered_classes(found)
    return split.cut(Source(name, images, labels, names, split.base))


def _find(folder: epath.Path) -> dict[tuple[str, str], epath.Path]:
    """Returns the files by `("train", "images")`; unpacked ones before gzipped ones."""
    found: dict[tuple[str, str], epath.Path] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir(), key=lambda p: (p.name.endswith(".gz"), p)):
        if match := _FILE.fullmatch(path.name):
            key = _SPLITS[match[1]], match[2]
            first = found.setdefault(key, path)
            if first.name != path.name.removesuffix(".gz") and first != path:
                raise ValueError(
                    f"'{folder}' holds several datasets: '{first.name}' and "
                    f"'{path.name}'; give each a folder of its own"
                )
    return found


def _numbered_classes(found: dict[tuple[str, str], epath.Path]) -> tuple[str, ...]:
    """Returns `("0", ...)` up to the largest label of all splits."""
    files = [path for (_, kind), path in found.items() if kind == "labels"]
    largest = max(int(read_idx(path).max(initial=0)) for path in files)
    return tuple(str(label) for label in range(largest + 1))
