"""Other data than those of a run's training, brought to what its model takes."""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.data import EvalData, LazySource, Source, WorkerData
from jaxcnn.data.crops import Crop, make_crops
from jaxcnn.data.decoding import MODES
from jaxcnn.data.files import as_path
from jaxcnn.data.image_folder import split_folders
from jaxcnn.data.image_table import TABLES, has_splits
from jaxcnn.data.loading import FILES
from jaxcnn.experiment.batches import evaluation_data
from jaxcnn.experiment.config import DataConfig, ExperimentConfig
from jaxcnn.experiment.sources import file_options
from jaxcnn.run import RunConfig

#: Names of the classes that a model has beyond those of its data.
_FILLED = re.compile(r"class \d+")


def of_files(data: DataConfig) -> bool:
    """Returns whether the examples are encoded images in files of their own."""
    scheme, colon, _ = data.name.partition(":")
    return bool(colon) and scheme in FILES


def as_files(run: RunConfig) -> DataConfig:
    """Returns how picture files become examples of a run, as its evaluation sees them.

    Where it was trained on files, or on what is decoded batch by batch, just so. Where
    on arrays, files are made gray, RGB or RGBA as these were, and the whole picture is
    brought to their size.

    Raises:
        ValueError: if the model takes no images.
    """
    if len(run.image_shape) != 3:
        raise ValueError(
            f"The model takes arrays of shape {list(run.image_shape)}, not pictures."
        )
    data = DataConfig()
    if run.experiment:
        data = ExperimentConfig.from_json(run.experiment).data
    if of_files(data):
        return data
    height, _, channels = run.image_shape
    mode = {"mode": MODES.get(channels, str(channels))}
    if data.decode == "lazy":
        return dataclasses.replace(data, **mode)
    return dataclasses.replace(data, image_size=height, stretch=True, **mode)


def eval_crop_of(data: DataConfig, shape: Sequence[int]) -> Crop:
    """Returns what part of a picture evaluation sees.

    Args:
        data: From `as_files`.
        shape: `[height, width, channels]` of the run's images.
    """
    size = (int(shape[0]), int(shape[1]))
    return make_crops(size, resize=data.resize, stretch=data.stretch)["eval_crop"]


def with_data(config: ExperimentConfig, run: RunConfig, name: str) -> ExperimentConfig:
    """Returns the configuration of a run with other data in the place of its own.

    Args:
        config: Of the run.
        run: What the run folder says.
        name: As for `load_source`; or just the path of a folder, a table or a `.npz`
            file.

    Raises:
        ValueError: if they are images in files, which the model does not take.
    """
    # Nothing is set apart: none of it was trained on.
    kept = {"data_dir": None, "validation": 0.0, "folds": 0, "fold": 1}
    kept |= {"disk_cache": False, "columns": {}, "group": None}
    found = dataclasses.replace(config.data, name=_named(name), **kept)
    if of_files(found):
        files = as_files(run)
        if run.image_shape[0] != run.image_shape[1]:
            raise ValueError(
                f"The model takes images {list(run.image_shape)}; files are brought to "
                "squares only. Measure it on arrays: npz:FILE."
            )
        own = {"columns": files.columns} if of_files(config.data) else {}
        names = ("mode", "image_size", "stretch", "resize")
        kept = {**own, **{name: getattr(files, name) for name in names}}
        # Any number of files, and a broken one among them spoils nothing.
        kept |= {"decode": "lazy", "on_broken": "skip", "test_share": 0.0}
        found = dataclasses.replace(found, **kept)
    elif of_files(config.data) or _named(name) != name or ":" in name:
        found = dataclasses.replace(found, **_of_arrays(run))
    return dataclasses.replace(config, data=found)


def _of_arrays(run: RunConfig) -> dict[str, Any]:
    """Returns the fields that say how files are read, as they are for arrays."""
    plain, square = DataConfig(), len(run.image_shape) == 3
    square = square and run.image_shape[0] == run.image_shape[1]
    names = ("mode", "stack", "window", "edges", "columns", "mask_values", "decode")
    names += ("workers", "resize", "stretch", "test_share", "split_seed")
    fields = {name: getattr(plain, name) for name in names}
    return {**fields, "image_size": run.image_shape[0] if square else None}


def _named(name: str) -> str:
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return f"folder:{path}"
    if os.path.isfile(path):
        if path.lower().endswith(TABLES):
            return f"table:{path}"
        if path.lower().endswith(".npz"):
            return f"npz:{path}"
    return name


def evaluation_of(
    run: RunConfig,
    config: ExperimentConfig,
    split: str | None = None,
    *,
    other: bool = False,
) -> EvalData | WorkerData:
    """Returns the batches of a split as a run's model takes them.

    Args:
        run: What the run folder says.
        config: The run's own, or from `with_data`.
        split: The split; by default `"test"`, or `default_split` of other data.
        other: Whether the data are other ones, whose classes may be in another order.

    Raises:
        ValueError: if there is no such split, or its classes or images are other ones.
        OSError: if the data are not there.
    """
    if split is None:
        split = default_split(config.data) if other else "test"
    batches = evaluation_data(config, split, config.data.eval_batch_size)
    if not other:
        return batches
    if run.classifies:
        source = in_order_of(batches.source, run.class_names)
        evaluated = EvalData(source, config.data.eval_batch_size)
        if isinstance(batches, WorkerData):
            workers, timeout = batches.workers, batches.timeout
            batches = WorkerData(evaluated, workers, timeout=timeout)
        else:
            batches = evaluated
    shape = tuple(batches.source.image_shape)
    if shape != run.image_shape:
        raise ValueError(
            f"The examples of {batches.source.name!r} are {list(shape)}, the model "
            f"takes {list(run.image_shape)}."
        )
    return batches


def default_split(data: DataConfig) -> str:
    """Returns `"test"`, or what holds all examples of files that are in no splits."""
    scheme, _, name = data.name.partition(":")
    path, parted = as_path(name), True
    if scheme == "folder" and path.is_dir():
        parted = bool(split_folders(path))
    elif scheme == "table" and path.is_file():
        parted = has_splits(path, file_options(data))
    return "test" if parted else "train"


def in_order_of(
    source: Source | LazySource, class_names: Sequence[str]
) -> Source | LazySource:
    """Returns a source whose labels count the classes as a model does.

    Args:
        source: The examples, of the same classes by name.
        class_names: Those of the model.

    Raises:
        ValueError: if the classes differ, with what lacks on either side.
    """
    names = tuple(class_names)
    if source.class_names == names:
        return source
    missing = [n for n in names if n not in source.class_names]
    missing = [n for n in missing if not _FILLED.fullmatch(n)]
    extra = [n for n in source.class_names if n not in names]
    if missing or extra:
        raise ValueError(
            f"The classes of {source.name!r} are not those of the model. Only the "
            f"model has: {_listed(missing)}. Only the data have: {_listed(extra)}. (An "
            "empty folder stands for a class without images.)"
        )
    order = np.array([names.index(n) for n in source.class_names], np.int32)
    if isinstance(source, LazySource):
        return source.relabelled(order, names)
    labels = order[source.labels]
    return dataclasses.replace(source, labels=labels, class_names=names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10])) or "none"
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
