"""Image sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import contextlib
import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data.cache import Arrays, load_or_make
from jaxcnn.data.decoding import MODES, upright
from jaxcnn.data.files import as_path
from jaxcnn.data.resize import resize_image
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, unknown_split
from jaxcnn.tree import nearest

VERSION = re.compile(r"\d+\.\d+\.\d+")
_DEFAULT_FOLDER = "~/tensorflow_datasets"
_CHUNK = 512


def read_tfds(
    name: str,
    split: Split,
    *,
    data_dir: epath.PathLike | None = None,
    image_size: tuple[int, int] | None = None,
    cache: bool = True,
) -> Source:
    """Returns a split of a dataset prepared by TFDS as array_record or parquet.

    The first call decodes (60,000 MNIST images take about 3 s on one core) and keeps
    the result on disk; later ones read that, as long as the files are the same.

    Args:
        name: `"mnist"`, `"mnist:3.0.1"` or `"name/config"`.
        split: Any split of the dataset, or a slice of one.
        data_dir: Where TFDS keeps its datasets; `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets` if None.
        image_size: `(height, width)` every image is brought to while it is decoded;
            needed where the images differ in size.
        cache: Whether to keep decoded images on disk, see `cache_folder`.

    Raises:
        FileNotFoundError: if the dataset is not prepared.
        ValueError: if it is unknown, prepared as tfrecord, damaged, has no such split,
            or is not one image and at most one class label an example.
    """
    folder = find_folder(name, data_dir)
    builder = open_builder(folder)
    if split.base not in builder.info.splits:
        raise unknown_split(name, split.base, builder.info.splits)
    bounds = split.bounds(builder.info.splits[split.base].num_examples)
    keys = feature_names(builder.info)
    decode = functools.partial(
        _decode_split, builder, split.base, bounds, keys, image_size
    )
    if cache:
        stem = f"{builder.info.name}-{folder.name}-{split.base}"
        key = [split.base, bounds, keys, image_size, file_states(folder), "upright"]
        arrays = load_or_make(stem, key, decode)
    else:
        arrays = decode()
    names = builder.info.features[keys[1]].names if keys[1] else ()
    return Source(name, arrays["image"], arrays.get("label"), tuple(names), split.text)


def find_folder(name: str, data_dir: epath.PathLike | None = None) -> epath.Path:
    """Returns the folder of the newest prepared version of a dataset.

    Args:
        name: `"name"`, `"name/config"`, either with `":1.2.3"`.
        data_dir: As for `read_tfds`.

    Raises:
        FileNotFoundError: if it is a dataset of TFDS, but not prepared there.
        ValueError: if there is no dataset of this name, or it has several configs.
    """
    root = as_path(data_dir or os.environ.get("TFDS_DATA_DIR") or _DEFAULT_FOLDER)
    path, _, version = name.partition(":")
    versions = _versions(root / path)
    if not versions:
        configs = [c for c in _folders(root / path) if _versions(c)]
        if len(configs) > 1:
            choices = ", ".join(f"'{path}/{config.name}'" for config in configs)
            raise ValueError(f"dataset {path!r} has several configs: {choices}")
        versions = _versions(configs[0]) if configs else []
    found = [v for v in versions if version in ("", v.name)]
    if not found:
        raise _missing(name, root, [v.name for v in versions])
    return max(found, key=lambda v: tuple(map(int, v.name.split("."))))


def _folders(folder: epath.Path) -> list[epath.Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _versions(folder: epath.Path) -> list[epath.Path]:
    return [
        path
        for path in _folders(folder)
        if VERSION.fullmatch(path.name) and (path / "dataset_info.json").exists()
    ]


def _missing(name: str, root: epath.Path, versions: list[str]) -> Exception:
    """Returns the error for a dataset that is not in the folder."""
    import tensorflow_datasets as tfds

    base = re.split("[:/]", name)[0]
    prepared = [path.name for path in _folders(root)]
    # Those of the community are listed over the network: leave them out.
    published = tfds.list_builders(with_community_datasets=False)
    if base not in published and base not in prepared:
        known = ["digits", *prepared, *published]
        return ValueError(
            f"unknown dataset {name!r}.{nearest(base, known)} Allowed are 'digits', "
            "files ('idx:FOLDER', 'cifar10:FOLDER', 'npz:FILE') and the datasets of "
            f"TFDS; prepared in '{root}': {', '.join(prepared) or 'none'}"
        )
    there = f" (there is {', '.join(versions)})" if versions else ""
    return FileNotFoundError(
        f"dataset {name!r} is not prepared in '{root}'{there}. Where TensorFlow is "
        f"installed, run: tfds build {base} --file_format=array_record "
        f"--data_dir={root}; or name another folder with data_dir or TFDS_DATA_DIR"
    )


def open_builder(folder: epath.Path) -> Any:
    """Returns the TFDS builder of a prepared folder; runs none of the dataset's code.

    Raises:
        ValueError: if the description is damaged.
    """
    import tensorflow_datasets as tfds

    with naming(folder):
        return tfds.builder_from_directory(folder)


def feature_names(info: Any) -> tuple[str, str | None]:
    """Returns the names of the image feature and of the class label, if any."""
    import tensorflow_datasets as tfds

    of_type = {
        kind: [
            key for key, feature in info.features.items() if isinstance(feature, kind)
        ]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    }
    images, labels = of_type.values()
    supervised = info.supervised_keys or ()
    images = [key for key in images if key in supervised] or images
    labels = [key for key in labels if key in supervised] or labels
    if len(images) != 1 or len(labels) > 1:
        raise ValueError(
            f"dataset {info.name!r} is not one image and at most one class label an "
            f"example; it has the features {', '.join(sorted(info.features))}"
        )
    return images[0], labels[0] if labels else None


def file_states(folder: epath.Path) -> list[tuple[str, int, int]]:
    """Returns what tells that a dataset's files have changed."""
    states = [(str(folder), 0, 0)]
    for path in sorted(folder.iterdir()):
        stat = path.stat()
        states.append((path.name, stat.length, stat.mtime))
    return states


def _decode_split(
    builder: Any,
    split: str,
    bounds: tuple[int, int],
    keys: tuple[str, str | None],
    size: tuple[int, int] | None,
) -> Arrays:
    """Returns `image` `[n, height, width, channels]` and, if there is one, `label`."""
    image, label = keys
    mode, chunks, labels = pillow_mode(builder.info, image), [], []
    with _mapper(threads=size is not None) as run:
        for records in _records(builder, split, bounds):
            encoded = [record[image] for record in records]
            with naming(builder.data_path):
                decoded = list(run(lambda data: _decode(data, mode, size), encoded))
            _check_sizes(builder.info.name, [*(c[0] for c in chunks[:1]), *decoded])
            chunks.append(np.stack(decoded))
            labels += [record[label] for record in records if label]
    arrays = {"image": np.concatenate(chunks)}
    return {**arrays, "label": np.array(labels, np.int32)} if label else arrays


def pillow_mode(info: Any, image: str) -> str:
    """Returns what Pillow calls the images' channels."""
    feature = info.features[image]
    mode = MODES.get(feature.shape[-1])
    if mode is None or feature.np_dtype != np.uint8:
        raise ValueError(
            f"images of dataset {info.name!r} are {np.dtype(feature.np_dtype)} with "
            f"{feature.shape[-1]} channels, expected uint8 with 1, 3 or 4"
        )
    return mode


@contextlib.contextmanager
def _mapper(threads: bool) -> Iterator[Callable[..., Iterable[Any]]]:
    """Gives `map`, over threads if they are worth it.

    They are for photographs, which come in all sizes and are resized. Tiny PNGs take
    longer with them (28x28, two cores: 23 us an image in one thread, 43 us in four).
    """
    if threads:
        with ThreadPoolExecutor() as pool:
            yield pool.map
    else:
        yield map


@contextlib.contextmanager
def naming(folder: epath.Path) -> Iterator[None]:
    """Turns whatever goes wrong inside into one error that names the folder."""
    try:
        yield
    # Readers and decoders raise RuntimeError, OSError, SyntaxError and more.
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"the dataset in '{folder}' is damaged: {reason}") from error


def _records(
    builder: Any, split: str, bounds: tuple[int, int]
) -> Iterator[list[dict[str, Any]]]:
    """Yields the records of a slice, some at a time, with images still encoded.

    Raises:
        ValueError: if the files are tfrecord, absent or damaged.
    """
    source = open_source(builder, split)
    start, stop = bounds
    for first in range(start, stop, _CHUNK):
        with naming(builder.data_path):
            records = source.__getitems__(range(first, min(first + _CHUNK, stop)))
        yield records


def open_source(builder: Any, split: str) -> Any:
    """Returns the records of a split by number, with images still encoded.

    Raises:
        ValueError: if the files are tfrecord, absent or damaged.
    """
    import tensorflow_datasets as tfds

    skip = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        with naming(builder.data_path):
            return builder.as_data_source(split=split, decoders=skip)
    except ValueError as error:
        if isinstance(error.__cause__, NotImplementedError):
            raise _not_random_access(builder) from error
        raise


def _not_random_access(builder: Any) -> ValueError:
    return ValueError(
        f"the dataset in '{builder.data_path}' is prepared as "
        f"{builder.info.file_format.value}, which only TensorFlow reads. Where it is "
        f"installed, run: tfds convert_format --dataset_version_dir="
        f"{builder.data_path} --out_file_format=array_record"
    )


def _decode(data: bytes, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    """Returns an encoded image, upright, as uint8 `[height, width, channels]`."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image = upright(image)
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels if size is None else resize_image(pixels, size)


def _check_sizes(name: str, images: list[np.ndarray]) -> None:
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise ValueError(
            f"images of dataset {name!r} differ in size ({list(shapes[0])}, "
            f"{list(shapes[-1])}): pass image_size=(height, width)"
        )
