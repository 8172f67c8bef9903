"""Weights that a training run starts from."""

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.transfer.load import Loaded, load
from jaxcnn.transfer.match import cut
from jaxcnn.transfer.origin import Weights
from jaxcnn.transfer.pretrained import PretrainedConfig
from jaxcnn.tree import flatten_named, map_named
from jaxcnn.typing import PyTree


@dataclasses.dataclass(frozen=True)
class StartWeights:
    """Trained weights, read when they are first needed.

    Attributes:
        model: The registered name.
        weights: What `load_model` takes.
        options: The model's own options.
    """

    model: str
    weights: Weights
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def loaded(self) -> Loaded:
        """The model that the weights are of, its variables, what is known of them."""
        return load(self.model, self.weights, **self.options)

    @property
    def config(self) -> PretrainedConfig:
        """What is known of the weights."""
        return self.loaded.config

    @functools.cached_property
    def fingerprint(self) -> str:
        """`"sha256:..."` of all arrays and their names."""
        found = hashlib.sha256()
        for name, leaf in sorted(self.loaded.leaves.items()):
            array = np.ascontiguousarray(leaf)
            found.update(f"{name}{array.shape}{array.dtype}".encode())
            found.update(array.tobytes())
        return f"sha256:{found.hexdigest()}"

    def leaves(self, channels: int) -> dict[str, Any]:
        """Returns the variables by name, for images of so many channels."""
        loaded, known = self.loaded, self.config
        if channels != known.image_shape[-1]:
            loaded = load(
                self.model,
                loaded.leaves,
                num_classes=known.num_classes,
                in_channels=channels,
                image_size=known.image_shape[:-1],
                **known.model_args,
            )
        return loaded.leaves


def put_weights(
    variables: PyTree, leaves: Mapping[str, Any], new: Collection[str] = ()
) -> PyTree:
    """Returns variables with trained leaves in place of those that are not new.

    Args:
        variables: `{"params": ..., "batch_stats": ...}`.
        leaves: The trained ones by name; those that the model has not are left out.
        new: Names of parameters that keep what they are: the new head's.

    Raises:
        ValueError: if leaves are missing or of another shape; all are named.
    """
    new = {f"params/{name}" for name in new}
    wanted = {k: x for k, x in flatten_named(variables).items() if k not in new}
    missing = [name for name in wanted if name not in leaves]
    if missing:
        raise ValueError(
            f"The weights lack {len(missing)} arrays of the model: {cut(missing)}."
        )
    wrong = [
        f"{name} is {tuple(leaves[name].shape)} and must be {tuple(x.shape)}"
        for name, x in wanted.items()
        if leaves[name].shape != x.shape
    ]
    if wrong:
        raise ValueError(
            f"The weights do not fit the model and its images: {cut(wrong)}. Dense "
            "layers behind a flattened map need the image size that they were trained "
            "with, unless the model is cut in front of them."
        )
    return map_named(lambda name, x: x if name in new else leaves[name], variables)


def known_preprocess(
    preprocess: PreprocessConfig | None, channels: int
) -> PreprocessConfig | None:
    """Returns mean, deviation and channel order alone, for images of other channels.

    The size is the data's. Where the number of channels differs, as for gray images,
    each gets the average over the channels, as the first kernel is summed over them.

    Args:
        preprocess: What is known of the weights, or None.
        channels: Of the images.
    """
    if preprocess is None:
        return None
    mean, std, order = preprocess.mean, preprocess.std, preprocess.channel_order
    if mean and len(mean) != channels:
        mean = (sum(mean) / len(mean),) * channels
        std = (sum(std) / len(std),) * channels
        order = "RGB"
    return PreprocessConfig(mean, std, channel_order=order)
