"""CIFAR-10 and CIFAR-100 as their authors publish them, binary and Python versions."""

import dataclasses
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data.files import as_path, list_files
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, unknown_split

CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_PIXELS = 32 * 32 * 3
_Files = Mapping[str, Callable[[], bytes]]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How one of the datasets lies in its files.

    Attributes:
        batches: The files of a split, in order; the binary version adds `.bin`.
        homes: Folders and archives as published, binary before Python.
        label_bytes: Labels before each image of the binary version.
        label: Which of those bytes, and its key in the Python version.
        names: Where the class names are: a text file, or a key of a pickled one.
        default_names: The class names if those files are absent.
    """

    batches: Mapping[str, tuple[str, ...]]
    homes: tuple[str, ...]
    label_bytes: int
    label: tuple[int, str]
    names: tuple[str, str, str]
    default_names: tuple[str, ...] | None = None


_CIFAR100 = _Layout(
    batches={"train": ("train",), "test": ("test",)},
    homes=(
        *("cifar-100-binary", "cifar-100-python"),
        *("cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"),
    ),
    label_bytes=2,
    label=(1, "fine_labels"),
    names=("fine_label_names.txt", "meta", "fine_label_names"),
)
_LAYOUTS = {
    "cifar10": _Layout(
        batches={
            "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
            "test": ("test_batch",),
        },
        homes=(
            *("cifar-10-batches-bin", "cifar-10-batches-py"),
            *("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"),
        ),
        label_bytes=1,
        label=(0, "labels"),
        names=("batches.meta.txt", "batches.meta", "label_names"),
        default_names=CIFAR10_CLASSES,
    ),
    "cifar100": _CIFAR100,
    "cifar100_coarse": dataclasses.replace(
        _CIFAR100,
        label=(0, "coarse_labels"),
        names=("coarse_label_names.txt", "meta", "coarse_label_names"),
    ),
}
NAMES = tuple(_LAYOUTS)


def has_cifar_files(name: str, folder: epath.PathLike) -> bool:
    """Returns whether a folder, or a known one in it, holds this dataset's files."""
    layout, folder = _LAYOUTS[name], as_path(folder)
    if not folder.is_dir():
        return False
    homes = any((folder / home).exists() for home in layout.homes)
    return homes or _has_batches(layout, list_files(folder))


def read_cifar(name: str, path: epath.PathLike, split: Split) -> Source:
    """Returns a split of CIFAR-10 or CIFAR-100 from the published files.

    Args:
        name: `"cifar10"`, `"cifar100"` (100 classes) or `"cifar100_coarse"` (20).
        path: A folder with the batches, one that holds the published folder or
            archive, or the archive itself; files may be gzipped.
        split: `train`, `test` or a slice of one.

    Raises:
        FileNotFoundError: if the files or one of the batches are not there.
        ValueError: if there is no such split, or a file is damaged.
    """
    layout, path = _LAYOUTS[name], as_path(path)
    home = _find(layout, path)
    if home is None:
        raise FileNotFoundError(
            f"there are no {name} files in '{path}'; expected one of "
            f"{', '.join(layout.homes)} or their content"
        )
    if split.base not in layout.batches:
        raise unknown_split(name, split.base, layout.batches)
    where, files = home
    parts = [
        _read_batch(layout, where, files, batch) for batch in layout.batches[split.base]
    ]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    class_names = _class_names(layout, where, files, int(labels.max(initial=0)))
    return split.cut(Source(name, images, labels, class_names, split.base))


def _find(layout: _Layout, path: epath.Path) -> tuple[epath.Path, _Files] | None:
    """Returns the folder or archive that holds the batches, and its files."""
    for candidate in (path, *(path / home for home in layout.homes)):
        if candidate.exists():
            files = list_files(candidate)
            if _has_batches(layout, files):
                return candidate, files
    return None


def _has_batches(layout: _Layout, files: _Files) -> bool:
    stems = {stem for batches in layout.batches.values() for stem in batches}
    return any(name.removesuffix(".bin") in stems for name in files)


def _read_batch(
    layout: _Layout, where: epath.Path, files: _Files, stem: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images `[n, 32, 32, 3]` and labels `[n]` of one file."""
    if f"{stem}.bin" in files:
        content = files[f"{stem}.bin"]()
        rows, labels = _binary_batch(layout, f"{where}/{stem}.bin", content)
    elif stem in files:
        rows, labels = _python_batch(layout, f"{where}/{stem}", files[stem]())
    else:
        raise FileNotFoundError(f"'{where}' has no file '{stem}' or '{stem}.bin'")
    # Each row holds all of red, then green, then blue.
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _binary_batch(
    layout: _Layout, where: str, content: bytes
) -> tuple[np.ndarray, np.ndarray]:
    width = layout.label_bytes + _PIXELS
    if len(content) == 0 or len(content) % width:
        raise ValueError(
            f"'{where}' is damaged: it holds {len(content):,} bytes, expected a "
            f"multiple of {width:,} ({layout.label_bytes} for the label, {_PIXELS:,} "
            "for the pixels)"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, width)
    return rows[:, layout.label_bytes :], rows[:, layout.label[0]].astype(np.int32)


def _python_batch(
    layout: _Layout, where: str, pickled: bytes
) -> tuple[np.ndarray, np.ndarray]:
    content = _unpickle(pickled, where)
    rows, key = content.get("data"), layout.label[1]
    good = getattr(rows, "dtype", None) == np.uint8 and rows.shape[1:] == (_PIXELS,)
    if not good or len(content.get(key, ())) != len(rows):
        raise ValueError(
            f"'{where}' is damaged: expected 'data' as uint8 [n, {_PIXELS}] and n "
            f"{key!r}, found {', '.join(sorted(content))}"
        )
    return rows, np.asarray(content[key], np.int32)


def _class_names(
    layout: _Layout, where: epath.Path, files: _Files, largest: int
) -> tuple[str, ...]:
    """Returns the class names that come with the files, or the default ones."""
    text, pickled, key = layout.names
    if text in files:
        return tuple(files[text]().decode().split())
    if pickled in files:
        names = _unpickle(files[pickled](), f"{where}/{pickled}").get(key, ())
        return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)
    return layout.default_names or tuple(str(label) for label in range(largest + 1))


class _ArraysOnly(pickle.Unpickler):
    """Loads dicts, lists, strings, numbers and numpy arrays, and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        rebuild = np.ndarray(0).__reduce__()[0]
        allowed = {
            # NumPy 1 and 2 keep the function that makes an empty array in two places.
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return lambda text, _: text.encode("latin1")
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def _unpickle(content: bytes, where: str) -> dict[str, Any]:
    """Returns a pickled dict with its keys as text; written by Python 2 or 3.

    Raises:
        ValueError: if the file is damaged or asks for more than arrays.
    """
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        return {
            key.decode() if isinstance(key, bytes) else str(key): value
            for key, value in loaded.items()
        }
    # Damaged bytes make unpickling fail in any way at all.
    except Exception as error:
        raise ValueError(
            f"'{where}' is damaged or no CIFAR file: it cannot be unpickled safely "
            f"({error})"
        ) from error
