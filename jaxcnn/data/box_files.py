"""Boxes around objects, as Pascal VOC and COCO write them."""

import json
import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop
from jaxcnn.data.files import as_path
from jaxcnn.data.image_folder import EXTENSIONS, cut_shuffled, group_numbers
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.options import DEFAULT, FileOptions
from jaxcnn.data.records import make_records
from jaxcnn.data.splits import Split, unknown_split
from jaxcnn.data.targets import Boxes

_LISTS = {"validation": ("validation", "val", "valid")}


class _Object(NamedTuple):
    """A box: left, top, right, bottom in pixels, its class, whether it is ignored."""

    box: tuple[float, float, float, float]
    label: str
    ignore: bool = False


def read_voc(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    files: FileOptions = DEFAULT,
    on_broken: str = "error",
) -> LazySource:
    """Returns images with boxes, laid out as Pascal VOC is.

    `JPEGImages/` holds the images, `Annotations/NAME.xml` the boxes and
    `ImageSets/Main/SPLIT.txt` the names of a split, one a line. Classes are those of
    all annotations, in order. VOC counts pixels from 1 and includes the last one: 1 to
    640 spans an image 640 pixels wide, and becomes 0 to 640. A box without an area is
    left out with a warning; what lies beyond the image is cut off.

    Args:
        path: The folder.
        split: One of the lists, or a slice.
        crops: From `make_crops`.
        files: How files become examples.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if a folder or an image is not there.
        ValueError: if there is no such split, or an annotation is damaged.
    """
    root = as_path(path)
    names = _voc_names(root, split.base)
    everything = sorted(p.name for p in _folder(root / "Annotations").iterdir())
    classes = sorted(
        {
            found.label
            for name in everything
            if name.endswith(".xml")
            for found in _voc_objects(root / "Annotations" / name, warn=False)
        }
    )
    objects = [_voc_objects(root / "Annotations" / f"{name}.xml") for name in names]
    there = {os.path.splitext(p.name)[0]: p.name for p in _images(root / "JPEGImages")}
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(f"there is no image {missing[0]!r} in '{root}'")
    paths = [f"JPEGImages/{there[name]}" for name in names]
    options = {"split": split, "crops": crops, "files": files, "on_broken": on_broken}
    return _source(f"voc:{root}", root, paths, objects, classes, **options)


def read_coco(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    files: FileOptions = DEFAULT,
    on_broken: str = "error",
) -> LazySource:
    """Returns images with boxes that a JSON file lists as COCO does.

    The file of a split is `annotations/instances_SPLIT.json` (or `..._SPLIT2017.json`),
    `annotations/SPLIT.json`, `SPLIT.json` or `SPLIT/_annotations.coco.json`; its images
    lie in `SPLIT/`, `SPLIT2017/`, `images/` or the folder itself. Classes are the
    categories in the order of their numbers. Crowds are marked in `box_ignore`.

    Args:
        path: The folder.
        split: The split, or a slice.
        crops: From `make_crops`.
        files: How files become examples.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if the folder or an image is not there.
        ValueError: if there is no such split, or its file is damaged.
    """
    root = _folder(as_path(path))
    where, word = _coco_file(root, split.base)
    try:
        content = json.loads(where.read_text())
        categories = sorted(content["categories"], key=lambda entry: entry["id"])
        names = {entry["id"]: str(entry["name"]) for entry in categories}
        images = sorted(content["images"], key=lambda entry: entry["id"])
        objects: dict[Any, list[_Object]] = {entry["id"]: [] for entry in images}
        for entry in content["annotations"]:
            left, top, width, height = map(float, entry["bbox"])
            if _usable((left, top, left + width, top + height), where, entry["id"]):
                box = (left, top, left + width, top + height)
                found = _Object(box, names[entry["category_id"]], _crowd(entry))
                objects[entry["image_id"]].append(found)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{where}' is not what COCO writes: {type(error).__name__} {error}"
        ) from error
    sizes = {entry["id"]: (entry.get("width"), entry.get("height")) for entry in images}
    clipped = [
        [_clipped(o, sizes[key]) for o in found] for key, found in objects.items()
    ]
    paths = _coco_paths(root, word, [str(entry["file_name"]) for entry in images])
    options = {"split": split, "crops": crops, "files": files, "on_broken": on_broken}
    return _source(
        f"coco:{root}", root, paths, clipped, list(names.values()), **options
    )


def _source(
    name: str,
    root: epath.Path,
    paths: Sequence[str],
    objects: Sequence[Sequence[_Object]],
    classes: Sequence[str],
    *,
    split: Split,
    crops: dict[str, Crop],
    files: FileOptions,
    on_broken: str,
) -> LazySource:
    number = {label: index for index, label in enumerate(classes)}
    targets = Boxes(
        [[found.box for found in one] for one in objects],
        [[number[found.label] for found in one] for one in objects],
        [[found.ignore for found in one] for one in objects],
    )
    none = np.full(len(paths), -1, np.int32)
    source = LazySource(
        name,
        make_records(str(root), [list(paths)], none),
        tuple(classes),
        split=split.base,
        decoder=files.decoder(),
        targets=targets,
        groups=group_numbers(paths, files.group),
        on_broken=on_broken,
        **crops,
    )
    return cut_shuffled(source, split)


def _voc_names(root: epath.Path, base: str) -> list[str]:
    lists = _folder(root / "ImageSets" / "Main")
    for name in _LISTS.get(base, (base,)):
        if (lists / f"{name}.txt").is_file():
            lines = (lists / f"{name}.txt").read_text().splitlines()
            return [line.split()[0] for line in lines if line.strip()]
    known = [p.name[:-4] for p in lists.iterdir() if p.name.endswith(".txt")]
    raise unknown_split(f"voc:{root}", base, known)


def _voc_objects(where: epath.Path, warn: bool = True) -> list[_Object]:
    """Returns the boxes of an annotation."""
    try:
        tree = ElementTree.fromstring(where.read_text())
        size = tuple(
            int(float(tree.findtext(f"size/{k}"))) for k in ("width", "height")
        )
        found = []
        for entry in tree.iter("object"):
            corners = [float(entry.findtext(f"bndbox/{key}")) for key in _CORNERS]
            if _usable(corners, where, entry.findtext("name"), warn):
                box = (corners[0] - 1, corners[1] - 1, corners[2], corners[3])
                hard = entry.findtext("difficult", "0").strip() == "1"
                label = entry.findtext("name").strip()
                found.append(_clipped(_Object(box, label, hard), size))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no annotation '{where}'") from None
    except (ElementTree.ParseError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"'{where}' is not what Pascal VOC writes: {type(error).__name__} {error}"
        ) from error
    return found


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _usable(
    corners: Sequence[float], where: epath.Path, what: Any, warn: bool = True
) -> bool:
    left, top, right, bottom = corners
    if left < right and top < bottom:
        return True
    if warn:
        warnings.warn(
            f"'{where}' has a box without an area ({what}: {list(corners)}), which is "
            "left out",
            stacklevel=2,
        )
    return False


def _clipped(found: _Object, size: tuple[Any, Any]) -> _Object:
    """Returns the part of a box that lies in the image, if its size is known."""
    width, height = size
    if not width or not height:
        return found
    limits = (width, height, width, height)
    box = tuple(min(max(v, 0), n) for v, n in zip(found.box, limits, strict=True))
    return found._replace(box=box)


def _crowd(entry: dict[str, Any]) -> bool:
    return bool(entry.get("iscrowd", 0))


def _coco_file(root: epath.Path, base: str) -> tuple[epath.Path, str]:
    """Returns the file of a split, and the split's word in names."""
    for word in _LISTS.get(base, (base,)):
        for name in (
            f"annotations/instances_{word}2017.json",
            f"annotations/instances_{word}.json",
            f"annotations/{word}.json",
            f"{word}.json",
            f"{word}/_annotations.coco.json",
        ):
            if (root / name).is_file():
                return root / name, word
    known = [p.name[:-5] for p in root.iterdir() if p.name.endswith(".json")]
    lists = root / "annotations"
    if lists.is_dir():
        known += [p.name[:-5] for p in lists.iterdir() if p.name.endswith(".json")]
    known = [name.removeprefix("instances_").removesuffix("2017") for name in known]
    raise unknown_split(f"coco:{root}", base, known)


def _coco_paths(root: epath.Path, word: str, names: Sequence[str]) -> list[str]:
    """Returns the images' paths below the root."""
    if not names:
        return []
    for folder in (word, f"{word}2017", "images", f"images/{word}", "."):
        if (root / folder / names[0]).is_file():
            return [os.path.normpath(os.path.join(folder, name)) for name in names]
    raise FileNotFoundError(f"there is no image '{names[0]}' in '{root}'")


def _images(folder: epath.Path) -> list[epath.Path]:
    return [p for p in _folder(folder).iterdir() if p.name.lower().endswith(EXTENSIONS)]


def _folder(path: epath.Path) -> epath.Path:
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder '{path}'")
    return path
