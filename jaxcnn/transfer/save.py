"""A model's variables as one safetensors file that says what they are."""

import dataclasses
import json
import os

import numpy as np

from jaxcnn.transfer.load import Loaded
from jaxcnn.transfer.pretrained import PretrainedConfig, pretrained_config
from jaxcnn.transfer.safetensors import write_safetensors
from jaxcnn.transfer.weight_file import METADATA_KEY


def save_loaded(
    path: str | os.PathLike[str], loaded: Loaded, *, like: str | None = None
) -> None:
    """Writes variables under our own names, with the configuration inside.

    The configuration is JSON in the header's metadata: the model's name and options,
    the shape of its images, preprocessing, class names, origin and licence.
    `load_model` reads all of it back.

    Args:
        path: A `.safetensors` file.
        loaded: What `load` returned.
        like: A published set of the model whose preprocessing, and whose class names if
            there are as many, are written where the weights say none.

    Raises:
        ValueError: if an option of the model cannot be written as JSON, or there is no
            such set.
    """
    # The hash and the name were those of the file that this one was made from.
    config = dataclasses.replace(loaded.config, file=None, hash=None, status=None)
    if like is not None:
        config = _completed(config, pretrained_config(config.model, like))
    try:
        text = json.dumps(config.to_json())
    except TypeError as error:
        raise ValueError(f"model_args cannot be written as JSON: {error}.") from error
    arrays = {name: np.asarray(leaf) for name, leaf in loaded.leaves.items()}
    write_safetensors(path, arrays, {"format": "jaxcnn", METADATA_KEY: text})


def _completed(config: PretrainedConfig, like: PretrainedConfig) -> PretrainedConfig:
    names = like.class_names if like.num_classes == config.num_classes else ()
    return dataclasses.replace(
        config,
        preprocess=config.preprocess or like.preprocess,
        class_names=config.class_names or names,
    )
