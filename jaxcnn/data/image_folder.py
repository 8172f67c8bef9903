"""Folders of images: `root/train/CLASS/name.jpg`, `root/val/CLASS/...`."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop
from jaxcnn.data.files import as_path
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.splits import Split, unknown_split

#: What counts as an image, by the end of its name, in any case.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_SPLITS = {"validation": ("validation", "val", "valid")}


def read_folder(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    mode: str = "RGB",
    on_broken: str = "error",
) -> LazySource:
    """Returns the images of a folder with one folder a split, in it one a class.

    Classes are the folders under `train`, by name; examples are in the order of class
    and of the path below it, where folders may be nested. Files that do not end like an
    image, and hidden ones, are left out. A slice such as `"train[:10%]"` is taken from
    one fixed random order, as examples of a class lie together.

    Args:
        path: The folder that holds `train`, `val` or `validation`, `test`.
        split: Which of them, or a slice.
        crops: From `make_crops`.
        mode: Pillow's name of the channels.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no such split, or a split has no image or another class.
    """
    root = as_path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder '{root}'")
    folder = _split_folder(root, split.base)
    train = _split_folder(root, "train") if (root / "train").is_dir() else folder
    classes = _classes(train)
    extra = sorted(set(_classes(folder)) - set(classes))
    if extra:
        raise ValueError(f"'{folder}' has class {extra[0]!r}, which '{train}' has not")
    if not classes:
        raise ValueError(f"'{train}' has no folders of classes")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(_images(os.path.join(folder, name), name))
        files += found
        labels += [label] * len(found)
    if not files:
        raise ValueError(
            f"'{folder}' holds no images ({', '.join(EXTENSIONS)}) in folders of "
            "classes"
        )
    source = LazySource(
        f"folder:{root}",
        FolderRecords(str(folder), files, np.array(labels, np.int32)),
        tuple(classes),
        split=split.base,
        mode=mode,
        on_broken=on_broken,
        **crops,
    )
    if split.start is None and split.stop is None:
        return source.subset(slice(None), split=split.text)
    start, stop = split.bounds(len(source))
    order = generator(0, 0, Stream.FOLDER).permutation(len(source))
    return source.subset(np.sort(order[start:stop]), split=split.text)


def _split_folder(root: epath.Path, base: str) -> epath.Path:
    for name in _SPLITS.get(base, (base,)):
        if (root / name).is_dir():
            return root / name
    raise unknown_split(f"folder:{root}", base, _classes(root))


def _classes(folder: epath.Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")


def _images(folder: str, prefix: str) -> Iterator[str]:
    """Yields the paths of images under a folder, relative, with this prefix."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{prefix}/{entry.name}"
            if entry.is_dir():
                yield from _images(entry.path, name)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield name


class FolderRecords:
    """Files by number.

    Their names are kept in one piece: a million of them are 40 MB and go to a worker at
    once, where as many Python strings would be three times that.

    Args:
        root: The folder that the names are relative to.
        names: Of the files.
        labels: Class of every file, int32 `[N]`.
    """

    def __init__(self, root: str, names: list[str], labels: np.ndarray) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._root, self._labels = root, labels
        self._names = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded])

    def __len__(self) -> int:
        return len(self._ends)

    def _path(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        name = os.fsdecode(self._names[start : int(self._ends[index])])
        return os.path.join(self._root, name)

    def read(self, index: int) -> tuple[bytes, int]:
        """Returns the content of a file and its class."""
        with open(self._path(index), "rb") as file:
            return file.read(), int(self._labels[index])

    def name(self, index: int) -> str:
        """Returns the path in quotes."""
        return f"'{self._path(index)}'"

    def labels(self) -> np.ndarray:
        """Returns the class of every file."""
        return self._labels

    def state(self) -> list[Any]:
        """Returns names, sizes and classes."""
        sizes = [os.stat(self._path(index)).st_size for index in range(len(self))]
        parts = (np.array(sizes, np.int64), self._ends, self._labels)
        return [self._names, *(part.tobytes() for part in parts)]
