"""A model's variables as one safetensors file that says what they are."""

import dataclasses
import json
import os

import numpy as np

from jaxcnn.transfer.load import Loaded
from jaxcnn.transfer.safetensors import write_safetensors
from jaxcnn.transfer.weight_file import METADATA_KEY
from jaxcnn.tree import flatten_named


def save_loaded(path: str | os.PathLike[str], loaded: Loaded) -> None:
    """Writes variables under our own names, with the configuration inside.

    The configuration is JSON in the header's metadata: the model's name and options,
    the shape of its images, preprocessing, class names, origin and licence.
    `load_model` reads all of it back.

    Args:
        path: A `.safetensors` file.
        loaded: What `load` returned.

    Raises:
        ValueError: if an option of the model cannot be written as JSON.
    """
    # The hash and the name were those of the file that this one was made from.
    config = dataclasses.replace(loaded.config, file=None, hash=None, status=None)
    try:
        text = json.dumps(config.to_json())
    except TypeError as error:
        raise ValueError(f"model_args cannot be written as JSON: {error}.") from error
    arrays = {key: np.asarray(x) for key, x in flatten_named(loaded.variables).items()}
    write_safetensors(path, arrays, {"format": "jaxcnn", METADATA_KEY: text})
