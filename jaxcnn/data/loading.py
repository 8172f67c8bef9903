"""One name for every dataset: what is behind `jaxcnn.data.load`."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from etils import epath

from jaxcnn.data import cifar, idx
from jaxcnn.data.arrays import read_npz
from jaxcnn.data.box_files import read_coco, read_voc
from jaxcnn.data.crops import Crop, make_crops
from jaxcnn.data.digits import read_digits
from jaxcnn.data.folds import Fold
from jaxcnn.data.image_folder import read_folder
from jaxcnn.data.image_table import read_table
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.mask_folder import read_masks
from jaxcnn.data.options import FileOptions
from jaxcnn.data.pipeline import TrainData
from jaxcnn.data.resize import check_image_size, resized
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, carve_validation, parse_split
from jaxcnn.data.tfds import VERSION, read_tfds
from jaxcnn.data.tfds_lazy import read_tfds_lazily
from jaxcnn.tree import nearest

_Read = Callable[[Split], Source]
DECODE = ("memory", "lazy")
#: Readers of encoded files, by what stands before the colon.
FILES = {
    "folder": read_folder,
    "table": read_table,
    "voc": read_voc,
    "coco": read_coco,
    "masks": read_masks,
}


def load(
    name: str,
    split: str = "train",
    *,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: epath.PathLike | None = None,
    validation: float | int | Fold = 0,
    validation_seed: int = 0,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    cache: bool = True,
    decode: str = "memory",
    crops: dict[str, Crop] | None = None,
    on_broken: str = "error",
    files: FileOptions | None = None,
    shuffle: bool = True,
    process_index: int | None = None,
    process_count: int | None = None,
) -> TrainData:
    """Returns a dataset as batches: `data[k]`, `data.steps_per_epoch`, `data.source`.

    `data.eval_batches()` gives the same examples for evaluation.

    Args:
        name: See `load_source`, which also explains the arguments not named here.
        split: Which part.
        batch_size: Of the global batch, over all processes.
        seed: Chooses the order of the examples.
        data_dir: Where the files are.
        validation: How much of train is set apart.
        validation_seed: Chooses what is set apart.
        class_names: In place of the dataset's own.
        image_size: `(height, width)` to bring the images to.
        cache: Whether to keep decoded images on disk.
        decode: Whether to decode now, `"memory"`, or batch by batch, `"lazy"`; then
            `WorkerData` does so in processes.
        crops: What training and evaluation see of lazily decoded images.
        on_broken: What becomes of images that cannot be decoded.
        files: How files become examples.
        shuffle: False keeps the examples in their order.
        process_index: This process's number; JAX's own if None, see `TrainData`.
        process_count: How many processes share a batch.

    Raises:
        OSError: if files are missing.
        ValueError: if an argument or a file is wrong.

    Example:
        >>> data = load("digits", "train[:100]", batch_size=32)
        >>> data.steps_per_epoch, data[0]["image"].shape
        (3, (32, 28, 28, 1))
    """
    source = load_source(
        name,
        split,
        data_dir=data_dir,
        validation=validation,
        validation_seed=validation_seed,
        class_names=class_names,
        image_size=image_size,
        cache=cache,
        decode=decode,
        crops=crops,
        on_broken=on_broken,
        files=files,
    )
    return TrainData(source, batch_size, seed, process_index, process_count, shuffle)


def load_source(
    name: str,
    split: str = "train",
    *,
    data_dir: epath.PathLike | None = None,
    validation: float | int | Fold = 0,
    validation_seed: int = 0,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    cache: bool = True,
    decode: str = "memory",
    crops: dict[str, Crop] | None = None,
    on_broken: str = "error",
    files: FileOptions | None = None,
) -> Source | LazySource:
    """Returns the examples of a split, validated.

    Args:
        name: `"digits"`; a dataset that TFDS has prepared (`"mnist"`,
            `"cifar10:3.0.2"`, `"name/config"`); or files: `"idx:FOLDER"` (MNIST and its
            family), `"cifar10:FOLDER"`, `"cifar100:FOLDER"`,
            `"cifar100_coarse:FOLDER"`, `"npz:FILE"`; or encoded images:
            `"folder:FOLDER"`, with images in `train/CLASS/`, `val/CLASS/`,
            `test/CLASS/` or in `CLASS/`; `"table:FILE.csv"`; `"voc:FOLDER"` and
            `"coco:FOLDER"` with boxes; `"masks:FOLDER"` with masks.
        split: `"train"`, `"validation"`, `"test"` or what else the dataset has, or a
            slice: `"train[:10%]"`, `"test[500:1000]"`.
        data_dir: Where the files are: a folder of TFDS (`$TFDS_DATA_DIR` or
            `~/tensorflow_datasets` if None), or one with the published files of
            `"mnist"`, `"fashion_mnist"`, `"cifar10"`, ...
        validation: What part of train is set apart as `"validation"`: a share in
            (0, 1) or a number of examples, of every class its part, or a `Fold` of a
            cross-validation. With it, `"train"` is the rest. 0 leaves the dataset's
            splits as they are.
        validation_seed: Chooses what is set apart. Apart from the seed of the order, so
            that runs with several seeds are measured on the same examples.
        class_names: In place of the dataset's own.
        image_size: `(height, width)` to bring the images to, bilinear.
        cache: Whether images that TFDS stores encoded are kept decoded on disk.
        decode: `"memory"`, or `"lazy"` for folders and datasets of TFDS: an image is
            decoded, cropped and resized when a batch asks for it (`LazySource`). A
            folder in memory holds its images as evaluation sees them.
        crops: What training and evaluation see of lazily decoded images, from
            `make_crops`; by default those of `image_size`.
        on_broken: `"error"` or `"skip"`, see `LazySource`.
        files: How files become examples, where they are encoded images in files of
            their own.

    Raises:
        OSError: if files are missing.
        ValueError: if an argument or a file is wrong.
    """
    check_image_size(image_size)
    wanted = parse_split(split)
    if decode not in DECODE:
        raise ValueError(
            f"decode is {decode!r}.{nearest(decode, DECODE)} Allowed are 'memory' and "
            "'lazy'"
        )
    scheme = name.partition(":")[0] if ":" in name else ""
    if files not in (None, FileOptions()) and scheme not in FILES:
        raise ValueError(
            f"files is for images in files ({', '.join(f'{n}:' for n in FILES)}), not "
            f"for {name!r}"
        )
    if scheme in FILES or decode == "lazy":
        read = _lazy_reader(name, data_dir, image_size, crops, on_broken, files)
    else:
        read = _reader(name, data_dir, image_size, cache)
    if isinstance(validation, Fold):
        source = _beside_fold(read, wanted, validation)
    elif validation and wanted.base in ("train", "validation"):
        train, held_out = carve_validation(
            read(Split("train", "train")), validation, validation_seed
        )
        source = wanted.cut(train if wanted.base == "train" else held_out)
    else:
        source = read(wanted)
    if class_names is not None:
        source = _renamed(source, tuple(class_names))
    if isinstance(source, LazySource):
        return source if decode == "lazy" else source.in_memory().validate()
    if image_size is not None:
        source = resized(source, image_size)
    return source.validate()


def _beside_fold(read: _Read, wanted: Split, fold: Fold) -> Source | LazySource:
    """Returns the fold (`"validation"`), what is left without it, or another split."""
    whole = parse_split(fold.split)
    if wanted.base not in (whole.base, "validation"):
        return read(wanted)
    train, held_out = fold.part(read(whole))
    if wanted.base == "validation":
        return wanted.cut(held_out)
    # The slice, if any, was cut before the folds were.
    return train if wanted.text in (whole.text, whole.base) else wanted.cut(train)


def _lazy_reader(
    name: str,
    data_dir: epath.PathLike | None,
    image_size: tuple[int, int] | None,
    crops: dict[str, Crop] | None,
    on_broken: str,
    files: FileOptions | None,
) -> Callable[[Split], LazySource]:
    """Returns the function that reads a split without decoding it."""
    scheme, colon, path = name.partition(":")
    files_of = bool(colon) and scheme in FILES
    lazy = not colon or bool(VERSION.fullmatch(path)) or files_of
    if name == "digits" or not lazy:
        raise ValueError(
            f"decode is 'lazy', but {name!r} is not stored as encoded images; files "
            f"({', '.join(f'{n}:PATH' for n in FILES)}) and datasets of TFDS are"
        )
    if crops is None:
        if image_size is None:
            raise ValueError(
                f"image_size is None; the images of {name!r} may differ in size: give "
                "(height, width)"
            )
        crops = make_crops(image_size)
    options = {"crops": crops, "on_broken": on_broken}
    if files_of:
        files = FileOptions() if files is None else files
        return functools.partial(FILES[scheme], path, files=files, **options)
    return functools.partial(read_tfds_lazily, name, data_dir=data_dir, **options)


def _renamed(
    source: Source | LazySource, class_names: tuple[str, ...]
) -> Source | LazySource:
    if len(class_names) < source.num_classes:
        raise ValueError(
            f"class_names has {len(class_names)} names, but {source.name!r} has "
            f"{source.num_classes} classes"
        )
    if isinstance(source, LazySource):
        return source.renamed(class_names)
    return dataclasses.replace(source, class_names=class_names)


def _reader(
    name: str,
    data_dir: epath.PathLike | None,
    image_size: tuple[int, int] | None,
    cache: bool,
) -> _Read:
    """Returns the function that reads a split of the dataset of this name."""
    scheme, colon, path = name.partition(":")
    # "cifar10:3.0.2" is a version of TFDS, "cifar10:FOLDER" a folder.
    if colon and not VERSION.fullmatch(path):
        return _file_reader(name, scheme, path)
    if name == "digits":
        return read_digits
    if data_dir is not None and name in idx.FAMILY and idx.has_idx_files(data_dir):
        return functools.partial(idx.read_idx_folder, data_dir, name=name)
    if (
        data_dir is not None
        and name in cifar.NAMES
        and cifar.has_cifar_files(name, data_dir)
    ):
        return functools.partial(cifar.read_cifar, name, data_dir)
    return functools.partial(
        read_tfds, name, data_dir=data_dir, image_size=image_size, cache=cache
    )


def _file_reader(name: str, scheme: str, path: str) -> _Read:
    readers: dict[str, _Read] = {
        "idx": functools.partial(idx.read_idx_folder, path),
        "npz": functools.partial(read_npz, path),
        **{n: functools.partial(cifar.read_cifar, n, path) for n in cifar.NAMES},
    }
    if scheme not in readers:
        known = [*readers, *FILES]
        raise ValueError(
            f"dataset {name!r} is of unknown kind {scheme!r}."
            f"{nearest(scheme, known)} Allowed before the colon are "
            f"{', '.join(map(repr, known))}"
        )
    return readers[scheme]
