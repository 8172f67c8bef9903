"""All splits of a dataset at once, of which one need not know the names."""

from pathlib import Path

from etils import epath

from jaxcnn.data import cifar, idx, tfds
from jaxcnn.data.crops import make_crops
from jaxcnn.data.image_folder import folder_splits
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.loading import load_source
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, UnknownSplit
from jaxcnn.data.tfds_lazy import read_tfds_lazily

_USUAL = ("train", "validation", "test")


def load_splits(
    name: str, *, data_dir: epath.PathLike | None = None
) -> dict[str, Source | LazySource]:
    """Returns every split of a dataset by name, train first.

    Folders and datasets of TFDS come undecoded (`LazySource`), others in memory.

    Args:
        name: As for `load_source`; or a folder of images, with or without folders for
            splits in it, or a `.npz` file.
        data_dir: As for `load_source`.

    Raises:
        OSError: if files are missing.
        ValueError: if the name or a file is wrong.
    """
    scheme, colon, path = name.partition(":")
    if colon and scheme == "folder":
        return folder_splits(path)
    if Path(name).expanduser().is_dir():
        return folder_splits(name)
    if name.endswith(".npz") and not colon:
        name = f"npz:{name}"
    if _is_tfds(name, data_dir):
        return _tfds_splits(name, data_dir)
    sources: dict[str, Source | LazySource] = {}
    for split in _USUAL:
        try:
            sources[split] = load_source(name, split, data_dir=data_dir)
        except UnknownSplit as error:
            missing = error
    if not sources:
        raise missing
    return sources


def _is_tfds(name: str, data_dir: epath.PathLike | None) -> bool:
    _, colon, path = name.partition(":")
    if name == "digits" or (colon and not tfds.VERSION.fullmatch(path)):
        return False
    if data_dir is None:
        return True
    own_files = name in idx.FAMILY and idx.has_idx_files(data_dir)
    return not own_files and not (
        name in cifar.NAMES and cifar.has_cifar_files(name, data_dir)
    )


def _tfds_splits(
    name: str, data_dir: epath.PathLike | None
) -> dict[str, Source | LazySource]:
    if "/" in name and name[0] in "./~":
        raise FileNotFoundError(f"there is no folder or file '{name}'")
    info = tfds.open_builder(tfds.find_folder(name, data_dir)).info
    rank = {split: place for place, split in enumerate(_USUAL)}
    splits = sorted(info.splits, key=lambda split: (rank.get(split, 3), split))
    crops = make_crops((32, 32))
    return {
        split: read_tfds_lazily(
            name, Split(split, split), crops=crops, data_dir=data_dir
        )
        for split in splits
    }
