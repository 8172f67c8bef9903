"""Sources from NumPy: arrays at hand, and `.npz` files."""

import warnings
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from jaxcnn.data.files import as_path
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, unknown_split

# How the splits are called in the files of MedMNIST and of Keras, and in plain ones.
_KEYS = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "validation": (
        ("val_images", "val_labels"),
        ("validation_images", "validation_labels"),
        ("x_val", "y_val"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
_PLAIN = ("images", "labels")


def from_arrays(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    *,
    name: str = "arrays",
    split: str = "train",
    rank: int | None = None,
) -> Source:
    """Returns a validated source made of arrays.

    Args:
        images: `[N, height, width, channels]` or gray `[N, height, width]`, uint8, or
            floats in 0..1 (float16 and float64 become float32); volumes `[N, depth,
            height, width, channels]`, or with `rank=1` sequences `[N, length,
            channels]`, uint8 or floats of any range.
        labels: Integers `[N]` or `[N, 1]`, or None for a task without classes.
        class_names: One a class; `"0"`, `"1"`, ... up to the largest label if None.
        name: What to call the data.
        split: What to call this part of it.
        rank: Spatial axes, see `Source`.

    Raises:
        ValueError: if the arrays do not fit each other, hold NaN, are constant or
            hold one class only; see `Source`.

    Example:
        >>> images = np.zeros((4, 8, 8), np.uint8)
        >>> images[1] = 255
        >>> from_arrays(images, [0, 1, 0, 1], ["dark", "bright"])
        Source('arrays', split='train', 4 images 8x8x1 uint8, 2 classes)
        >>> from_arrays(np.random.normal(size=(4, 50, 6)), [0, 1, 0, 1], rank=1)
        Source('arrays', split='train', 4 sequences 50x6 float32, 2 classes)
    """
    images = np.asarray(images)
    if images.dtype in (np.float16, np.float64):
        images = images.astype(np.float32)
    if rank in (None, 2):
        _warn_of_bytes_as_floats(images, name)
    labels = None if labels is None else _flat_labels(np.asarray(labels), name)
    if class_names is None:
        count = 0 if labels is None else int(labels.max(initial=0)) + 1
        class_names = tuple(str(label) for label in range(count))
    source = Source(name, images, labels, tuple(class_names), split, rank=rank)
    return source.validate()


def _flat_labels(labels: np.ndarray, name: str) -> np.ndarray:
    """Returns integer labels `[N]`."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise ValueError(
            f"labels of {name!r} have shape {list(labels.shape)}, expected class "
            "indices [N]; for one-hot rows pass labels.argmax(axis=1)"
        )
    return labels.astype(np.int32) if labels.dtype == bool else labels


def _warn_of_bytes_as_floats(images: np.ndarray, name: str) -> None:
    """Warns of floats that run from 0 to 255: nothing downstream would scale them."""
    if images.dtype == np.float32 and images.size and images.ndim < 5:
        low, high = images.min(), images.max()
        if low >= 0 and 2 < high <= 255:
            warnings.warn(
                f"images of {name!r} are floats from {low:g} to {high:g}; models expect"
                " 0 to 1: divide by 255, or store them as uint8",
                stacklevel=3,
            )


def read_npz(path: epath.PathLike, split: Split) -> Source:
    """Returns a split of a `.npz` file.

    Args:
        path: Holds `train_images`, `train_labels`, and the same for `val` and `test`
            (as MedMNIST has them), or `x_train`, `y_train`, ... (as Keras has them), or
            `images` and `labels`, which count as train. Labels may be absent;
            `class_names`, an array of strings, may be there, and `rank`, the number of
            spatial axes, which sequences need (1).
        split: `train`, `validation`, `test` or a slice of one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, has no such split, or holds Python objects.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file '{path}'")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file):
            file.seek(0)
            with np.load(file, allow_pickle=False) as content:
                return split.cut(_from_npz(f"npz:{path}", content, split))
    except (zipfile.BadZipFile, zlib.error, EOFError, _BadArray) as error:
        raise ValueError(f"'{path}' is damaged or no .npz file ({error})") from error


class _BadArray(Exception):
    """An array of the file that cannot be read."""


def _from_npz(name: str, content: np.lib.npyio.NpzFile, split: Split) -> Source:
    pairs = {base: _first_pair(content.files, keys) for base, keys in _KEYS.items()}
    if pairs["train"] is None:
        pairs["train"] = _first_pair(content.files, (_PLAIN,))
    available = {base: pair for base, pair in pairs.items() if pair is not None}
    if not available:
        raise ValueError(
            f"{name!r} holds {', '.join(content.files) or 'nothing'}; expected "
            "train_images and train_labels, x_train and y_train, or images and labels"
        )
    if split.base not in available:
        raise unknown_split(name, split.base, available)
    images, labels = (_read(content, key) for key in available[split.base])
    names = _read(content, "class_names")
    if names is None:
        # Every split has the same classes, also one that lacks the last of them.
        all_labels = [_read(content, key) for _, key in available.values()]
        names = _numbered([part for part in all_labels if part is not None])
    rank = _read(content, "rank")
    return from_arrays(
        images,
        labels,
        () if labels is None else names,
        name=name,
        split=split.base,
        rank=None if rank is None else _whole_number(name, rank),
    )


def _whole_number(name: str, value: np.ndarray) -> int:
    if value.size != 1 or not np.issubdtype(value.dtype, np.integer):
        raise ValueError(
            f"rank of {name!r} must be one whole number, got {value.dtype}"
            f"{list(value.shape)}"
        )
    return int(value.item())


def _first_pair(
    files: list[str], keys: Sequence[tuple[str, str]]
) -> tuple[str, str] | None:
    return next((pair for pair in keys if pair[0] in files), None)


def _read(content: np.lib.npyio.NpzFile, key: str) -> np.ndarray | None:
    """Returns an array of the file, None if it is absent."""
    if key not in content.files:
        return None
    try:
        return content[key]
    except ValueError as error:  # a damaged header, or an array of Python objects
        raise _BadArray(f"array {key!r}: {error}") from error


def _numbered(labels: list[np.ndarray]) -> tuple[str, ...]:
    largest = max((int(part.max(initial=0)) for part in labels), default=-1)
    return tuple(str(label) for label in range(largest + 1))
