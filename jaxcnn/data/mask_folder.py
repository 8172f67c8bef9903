"""Images beside masks that say what each pixel is."""

import os

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop
from jaxcnn.data.files import as_path
from jaxcnn.data.image_folder import (
    cut_shuffled,
    group_numbers,
    list_images,
    seeded_part,
    split_folders,
    stacked_names,
)
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.options import DEFAULT, FileOptions
from jaxcnn.data.records import FolderRecords, make_records
from jaxcnn.data.splits import Split, unknown_split
from jaxcnn.data.targets import Masks

#: What the two folders may be called.
IMAGE_FOLDERS = ("images", "image", "JPEGImages")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "SegmentationClass")
# What a mask may be called more than its image.
_ENDS = ("", "_mask", "_label", "_seg")


def read_masks(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    files: FileOptions = DEFAULT,
    on_broken: str = "error",
) -> LazySource:
    """Returns images with masks: `root/train/images/1.png`, `root/train/masks/1.png`.

    A mask is called as its image is, or `1_mask.png`. The folder may be called
    `image` and `label` too, see `IMAGE_FOLDERS` and `MASK_FOLDERS`. Without folders of
    splits, `files.test` of the images are set apart as `"test"`.

    Args:
        path: The folder.
        split: The split, or a slice.
        crops: From `make_crops`.
        files: How files become examples.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if a folder is not there.
        ValueError: if there is no such split, or an image has no mask.
    """
    root = as_path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder '{root}'")
    parted = split_folders(root)
    if parted and split.base not in parted:
        raise unknown_split(f"masks:{root}", split.base, parted)
    folder = parted.get(split.base, root)
    images, masks = _one_of(folder, IMAGE_FOLDERS), _one_of(folder, MASK_FOLDERS)
    names = sorted(list_images(str(images), ""))
    if not names:
        raise ValueError(f"'{images}' holds no images")
    columns = stacked_names(names, files.names, str(images))
    found = _beside(columns[0], masks)
    none = np.full(len(columns[0]), -1, np.int32)
    source = LazySource(
        f"masks:{root}",
        make_records(str(images), columns, none),
        tuple(str(value) for value in range(len(files.mask_values))),
        split=split.base,
        decoder=files.decoder(),
        targets=Masks(FolderRecords(str(masks), found, none), files.mask_values),
        groups=group_numbers(columns[0], files.group),
        on_broken=on_broken,
        **crops,
    )
    if not parted:
        source = seeded_part(source, split, files, None)
    return cut_shuffled(source, split)


def _one_of(folder: epath.Path, names: tuple[str, ...]) -> epath.Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise FileNotFoundError(
        f"'{folder}' has none of the folders {', '.join(map(repr, names))}"
    )


def _beside(images: list[str], folder: epath.Path) -> list[str]:
    """Returns the mask of every image."""
    there = {os.path.splitext(name)[0]: name for name in list_images(str(folder), "")}
    found = []
    for image in images:
        stem = os.path.splitext(image)[0]
        names = [there[stem + end] for end in _ENDS if stem + end in there]
        if not names:
            raise ValueError(f"image '{image}' has no mask in '{folder}'")
        found.append(names[0])
    return found
