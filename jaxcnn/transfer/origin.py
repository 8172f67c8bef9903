"""Where weights come from: a file, a run folder, a published set, a hub, memory."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.transfer.pretrained import (
    PretrainedConfig,
    pretrained_config,
    pretrained_sets,
    published_file,
)
from jaxcnn.transfer.weight_file import read_weights
from jaxcnn.tree import flatten_named

Weights = str | os.PathLike[str] | Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Opened:
    """Weights that were read, and what is known of them.

    Attributes:
        arrays: By the names of whoever wrote them.
        label: Where they are from, for messages.
        config: What is known of them, or None.
        source: Whose names they have, if that is known.
    """

    arrays: dict[str, np.ndarray]
    label: str
    config: PretrainedConfig | None = None
    source: str | None = None


def open_weights(name: str, weights: Weights) -> Opened:
    """Returns the arrays that `weights` stands for.

    Args:
        name: The registered model that they are for.
        weights: As for `load_model`.

    Raises:
        ValueError: if the file is damaged or unknown, the set unknown, or the weights
            say that they are another model's.
        OSError: if there is no such file, or it cannot be downloaded.
    """
    if isinstance(weights, Mapping):
        for key in weights:
            if not isinstance(key, str):
                raise ValueError(
                    f"weights must be arrays by name, got the key {key!r}."
                )
        arrays = {key: np.asarray(value) for key, value in weights.items()}
        return Opened(arrays, "the arrays given")
    opened = _open(name, os.fspath(weights))
    if opened.config is not None and opened.config.model != name:
        raise ValueError(
            f"{opened.label} holds weights of {opened.config.model}, not of {name}."
        )
    return opened


def named_model(weights: str | os.PathLike[str]) -> str | None:
    """Returns the registered model that weights say they are of, or None.

    A run folder and a file of `jaxcnn convert` say so; a published file is known by its
    hash.

    Args:
        weights: A file or a run folder; of anything else nothing is known.

    Raises:
        ValueError: if the file is damaged or of an unknown kind.
    """
    path = Path(os.fspath(weights))
    if path.is_dir():
        opened = _run(os.fspath(weights))
    elif path.is_file():
        opened = _file(path, os.fspath(weights), published_file(None, path))
    else:
        return None
    return None if opened.config is None else opened.config.model


def _open(name: str, weights: str) -> Opened:
    if weights.startswith("hf-hub:"):
        from jaxcnn.transfer.hub import hub_file

        path, config = hub_file(name, weights)
        return _file(path, weights, config)
    if "://" in weights or Path(weights).is_dir():
        return _run(weights)
    if not Path(weights).exists() and re.match(r"[\w-]+:[^\\/]", weights):
        from jaxcnn.transfer.download import fetch

        config = pretrained_config(name, weights)
        return _file(fetch(config), weights, config)
    if not Path(weights).exists():
        sets = ", ".join(pretrained_sets(name)) or "none"
        raise FileNotFoundError(
            f"There is no file or folder {weights!r}. Published for {name}: {sets}."
        )
    return _file(Path(weights), weights, published_file(name, Path(weights)))


def _file(path: Path, label: str, config: PretrainedConfig | None) -> Opened:
    file = read_weights(path)
    if file.config is not None:
        try:
            config = PretrainedConfig.from_json(file.config)
        except ValueError as error:
            raise ValueError(f"{label} cannot be read: {error}.") from error
    return Opened(file.arrays, label, config)


def _run(directory: str) -> Opened:
    from jaxcnn.run import load_run

    if directory.startswith(("http://", "https://")):
        raise ValueError(f"Download {directory} first and give the file.")
    run = load_run(epath.Path(directory))
    arguments = dict(run.config.model_args)
    config = PretrainedConfig(
        model=run.config.model,
        weights=directory,
        preprocess=run.config.preprocess,
        image_shape=run.config.input_shape,
        num_classes=arguments.pop("num_classes", None),
        class_names=run.config.class_names,
        model_args=arguments,
    )
    arrays = {key: np.asarray(x) for key, x in flatten_named(run.variables).items()}
    return Opened(arrays, directory, config, "jaxcnn")
