"""Folders of images: `root/train/CLASS/name.jpg`, `root/val/CLASS/...`."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop
from jaxcnn.data.files import as_path
from jaxcnn.data.lazy import LazySource, make_crops
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
    files, labels = _files(folder, classes)
    if not files:
        raise ValueError(
            f"'{folder}' holds no images ({', '.join(EXTENSIONS)}) in folders of "
            "classes"
        )
    source = LazySource(
        f"folder:{root}",
        FolderRecords(str(folder), files, labels),
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


def folder_splits(path: epath.PathLike) -> dict[str, LazySource]:
    """Returns every split of a folder, as its images are: for looking through them.

    Unlike `read_folder` it takes a split without some of the classes, or with others,
    and a folder without splits, `root/CLASS/name.jpg`, which is one split, `all`.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no images in folders of classes.
    """
    root = as_path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder '{root}'")
    names = {name: base for base, words in _SPLITS.items() for name in words}
    names |= {"train": "train", "test": "test"}
    # The usual order, whatever the alphabet's.
    found = [name for name in ("train", *names, "test") if name in _classes(root)]
    folders = {names[name]: root / name for name in dict.fromkeys(found)}
    if len(folders) < len(set(found)):
        raise ValueError(f"'{root}' holds the same split twice: {', '.join(found)}")
    folders = folders or {"all": root}
    classes = sorted({name for f in folders.values() for name in _classes(f)})
    if not classes:
        raise ValueError(f"'{root}' has no folders of classes")
    sources = {}
    for split, folder in folders.items():
        files, labels = _files(folder, classes)
        if not files:
            raise ValueError(
                f"'{folder}' holds no images ({', '.join(EXTENSIONS)}) in folders of "
                "classes"
            )
        sources[split] = LazySource(
            f"folder:{root}",
            FolderRecords(str(folder), files, labels),
            tuple(classes),
            split=split,
            **make_crops((32, 32)),
        )
    return sources


def _files(folder: epath.Path, classes: list[str]) -> tuple[list[str], np.ndarray]:
    """Returns the images under a folder, by class and path, and their classes."""
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(_images(os.path.join(folder, name), name))
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int32)


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
