"""Folders of images: `root/train/CLASS/name.jpg`, or `root/CLASS/name.jpg`."""

import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop, make_crops
from jaxcnn.data.files import as_path
from jaxcnn.data.groups import check_apart, groups_of, numbered
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.options import DEFAULT, FileOptions
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.records import FolderRecords, make_records
from jaxcnn.data.splits import Split, chosen_part, unknown_split

__all__ = ["EXTENSIONS", "FolderRecords", "read_folder"]

#: What counts as an image, by the end of its name, in any case.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".npy")
#: The folders of the splits.
SPLIT_FOLDERS = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}


def read_folder(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    files: FileOptions = DEFAULT,
    on_broken: str = "error",
) -> LazySource:
    """Returns the images of a folder with one folder a split, in it one a class.

    Classes are the folders under `train`, by name; examples are in the order of class
    and of the path below it, where folders may be nested. Files that do not end like an
    image, and hidden ones, are left out. A slice such as `"train[:10%]"` is taken from
    one fixed random order, as examples of a class lie together.

    Without folders of splits, the folders in it are the classes, and a share of the
    images, `files.test`, is set apart as `"test"`.

    Args:
        path: The folder that holds `train`, `val` or `validation`, `test`; or classes.
        split: Which of them, or a slice.
        crops: From `make_crops`.
        files: How files become examples.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no such split, or a split has no image or another class.
    """
    root = as_path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder '{root}'")
    parted = split_folders(root)
    if split.base not in SPLIT_FOLDERS and (root / split.base).is_dir():
        parted[split.base] = root / split.base
    folder = _split_folder(root, split.base) if parted else root
    train = parted.get("train", folder)
    classes = _classes(train)
    extra = sorted(set(_classes(folder)) - set(classes))
    if extra:
        raise ValueError(f"'{folder}' has class {extra[0]!r}, which '{train}' has not")
    if not classes:
        raise ValueError(f"'{train}' has no folders of classes")
    names, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(list_images(os.path.join(folder, name), name))
        columns = stacked_names(found, files.names, str(folder))
        names.append(columns)
        labels += [label] * len(columns[0])
    if not labels:
        raise ValueError(
            f"'{folder}' holds no images ({', '.join(EXTENSIONS)}) in folders of "
            "classes"
        )
    columns = [list(itertools.chain(*parts)) for parts in zip(*names, strict=True)]
    if files.group is not None:
        _check_groups(parted, files.group)
    labels = np.array(labels, np.int32)
    source = LazySource(
        f"folder:{root}",
        make_records(str(folder), columns, labels),
        tuple(classes),
        split=split.base,
        decoder=files.decoder(),
        groups=group_numbers(columns[0], files.group),
        on_broken=on_broken,
        **crops,
    )
    if not parted:
        source = seeded_part(source, split, files, labels)
    return cut_shuffled(source, split)


def group_numbers(paths: Sequence[str], pattern: str | None) -> np.ndarray | None:
    """Returns the number of every path's group, int32 `[N]`, or None."""
    return None if pattern is None else numbered(groups_of(paths, pattern))


def seeded_part(
    source: LazySource, split: Split, files: FileOptions, labels: np.ndarray | None
) -> LazySource:
    """Returns the train or test part of a source that has no splits of its own.

    Raises:
        ValueError: if it is another split, or a part cannot be set apart.
    """
    known = ["train", "test"] if files.test else ["train"]
    if split.base not in known:
        raise unknown_split(source.name, split.base, known)
    if not files.test:
        return source
    count = max(round(files.test * len(source)), 1)
    labels = np.zeros(len(source), np.int32) if labels is None else labels
    chosen = chosen_part(labels, count, files.split_seed, source.groups)
    return source.subset(chosen if split.base == "test" else ~chosen, split=split.base)


def cut_shuffled(source: LazySource, split: Split) -> LazySource:
    """Returns a slice of a source, from one fixed random order of its examples."""
    if split.start is None and split.stop is None:
        return source.subset(slice(None), split=split.text)
    start, stop = split.bounds(len(source))
    order = generator(0, 0, Stream.FOLDER).permutation(len(source))
    return source.subset(np.sort(order[start:stop]), split=split.text)


def split_folders(root: epath.Path) -> dict[str, epath.Path]:
    """Returns the folders of splits that a folder holds, by the split's name."""
    return {
        base: root / name
        for base, names in SPLIT_FOLDERS.items()
        for name in reversed(names)
        if (root / name).is_dir()
    }


def stacked_names(
    names: Sequence[str], patterns: Sequence[str], root: str
) -> list[list[str]]:
    """Returns the first files of all examples, their second ones, ...

    Args:
        names: All files, in order.
        patterns: Ends of the names of an example's files, `"{}_ct.png"`; `{}` stands
            for what they have in common. Empty for one file an example.
        root: Where they are, for messages.

    Raises:
        ValueError: if a pattern is none, or an example lacks a file.
    """
    if not patterns:
        return [list(names)]
    for pattern in patterns:
        if not pattern.startswith("{}") or len(pattern) == 2:
            raise ValueError(
                f"{pattern!r} in stack is no pattern: in folders it begins with {{}}, "
                "which stands for the part that the names of an example share, as in "
                "'{}_ct.png:L'"
            )
    ends = [pattern[2:] for pattern in patterns]
    there = set(names)
    firsts = [name for name in names if name.endswith(ends[0])]
    columns = [firsts]
    for end in ends[1:]:
        column = [name[: len(name) - len(ends[0])] + end for name in firsts]
        for first, name in zip(firsts, column, strict=True):
            if name not in there:
                raise ValueError(
                    f"'{os.path.join(root, first)}' has no file beside it that ends in "
                    f"{end!r}, which stack asks for"
                )
        columns.append(column)
    return columns


def _check_groups(parted: dict[str, epath.Path], pattern: str) -> None:
    """Raises ValueError if a group is in two folders of splits."""
    found = {}
    for base, folder in parted.items():
        paths = [n for c in _classes(folder) for n in list_images(str(folder / c), c)]
        found[base] = groups_of(paths, pattern)
    check_apart(found)


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
    names = {name: base for base, words in SPLIT_FOLDERS.items() for name in words}
    found = [name for name in names if name in _classes(root)]
    folders = {names[name]: root / name for name in found}
    if len(folders) < len(found):
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
        found = sorted(list_images(os.path.join(folder, name), name))
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int32)


def _split_folder(root: epath.Path, base: str) -> epath.Path:
    for name in SPLIT_FOLDERS.get(base, (base,)):
        if (root / name).is_dir():
            return root / name
    raise unknown_split(f"folder:{root}", base, _classes(root))


def _classes(folder: epath.Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")


def list_images(folder: str, prefix: str) -> Iterator[str]:
    """Yields the paths of images under a folder, relative, with this prefix."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.is_dir():
                yield from list_images(entry.path, name)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield name
