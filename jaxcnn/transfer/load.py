"""A model with weights from anywhere, in one call."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.models.counts import usual_image_shape
from jaxcnn.registry import create_model
from jaxcnn.transfer.fit import Build, Stored, fit_variables, read_stored
from jaxcnn.transfer.origin import Opened, Weights, open_weights
from jaxcnn.transfer.pretrained import (
    PretrainedConfig,
)
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, PyTree

_log = logging.getLogger("jaxcnn")


def load_model(
    name: str,
    weights: Weights,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | Sequence[int] | None = None,
    source: str | None = None,
    key: Array | None = None,
    **options: Any,
) -> tuple[nn.Module, PyTree]:
    """Returns a registered model and its variables, from weights of any origin.

    All must fit: what is missing, unexpected or of another shape is reported at once.
    Where the caller asks for other classes or channels than the weights have, the head
    starts anew, or the first convolution is adapted (see `adapt_input_kernel`); a
    warning of the logger `"jaxcnn"` says so. Weights of auxiliary heads that the model
    has not are left out, and that is said too.

    Args:
        name: One of `list_models()`.
        weights: A file, recognised by content: `.pth` or `.pt` of PyTorch (never
            executed), `.safetensors`, `.npz`, `.h5` or `.keras` of Keras; a run folder;
            a published set, such as `"torchvision:IMAGENET1K_V1"`;
            `"hf-hub:owner/name"`; or arrays by name.
        num_classes: Logits out; by default those of the weights. 0 gives features.
        in_channels: Channels of the images; by default those of the weights.
        image_size: (height, width) of the images, or one number for both. Only models
            with dense layers behind a flattened map depend on it; by default that of
            the weights, or the model's usual.
        source: Whose names the weights have, such as `"timm"`; found out by default.
        key: Random key for what starts anew; `jax.random.key(0)` by default.
        **options: The model's own options, as for `create_model`.

    Returns:
        The module, and its variables as float32 arrays of JAX.

    Raises:
        ValueError: if the weights do not fit, cannot be read, or are of an unknown kind
            or set.
        OSError: if a file is not there and cannot be downloaded.

    Example:
        >>> import numpy as np
        >>> from jaxcnn.tree import flatten_named
        >>> model = create_model("mlp", hidden=(4,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        >>> arrays = flatten_named(variables)  # or the name of a file
        >>> model, variables = load_model("mlp", arrays, hidden=(4,))
        >>> variables["params"]["head"]["kernel"].shape
        (4, 10)
    """
    loaded = load(
        name,
        weights,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
        source=source,
        key=key,
        **options,
    )
    return loaded.model, loaded.variables


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model with its variables, and what is known of them.

    Attributes:
        model: The Linen module.
        variables: Its parameters and other collections.
        config: What is known of the weights, as they are now: changed numbers of
            classes and channels included.
    """

    model: nn.Module
    variables: PyTree
    config: PretrainedConfig

    @property
    def leaves(self) -> dict[str, Any]:
        """The variables by name, such as `"params/stem/conv/kernel"`."""
        return flatten_named(self.variables)


def load(
    name: str,
    weights: Weights,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | Sequence[int] | None = None,
    source: str | None = None,
    key: Array | None = None,
    **options: Any,
) -> Loaded:
    """Returns what `load_model` does, and what is known of the weights."""
    if in_channels is not None:
        check_number("in_channels", in_channels, 1)
    opened = open_weights(name, weights)
    if opened.config is not None:
        options = {**opened.config.model_args, **options}
    build = Build(name, options, _image_shape(name, options, opened, image_size))
    stored = read_stored(build, opened, source, headless=num_classes is not None)
    build = build.with_options({**stored.options, **options})
    classes = stored.classes if num_classes is None else num_classes
    channels = stored.channels if in_channels is None else in_channels
    return Loaded(
        model=build.model(classes),
        variables=fit_variables(build, stored, classes, channels, key),
        config=_config(build, opened, stored, classes, channels),
    )


def _config(
    build: Build,
    opened: Opened,
    stored: Stored,
    classes: int | None,
    channels: int,
) -> PretrainedConfig:
    """Returns what is still true of the weights."""
    config = opened.config or PretrainedConfig(build.name, opened.label)
    changes: dict[str, Any] = {}
    if classes != stored.classes:
        changes |= {"class_names": (), "top1": None, "top5": None}
    if channels != stored.channels:
        changes |= {"preprocess": None, "top1": None, "top5": None}
    return dataclasses.replace(
        config,
        image_shape=(*build.image_shape[:-1], channels),
        num_classes=classes,
        model_args=build.options,
        **changes,
    )


def _image_shape(
    name: str,
    options: Mapping[str, Any],
    opened: Opened,
    image_size: int | Sequence[int] | None,
) -> tuple[int, ...]:
    """Returns the shape of the images, `[*spatial, channels]`: whoever knows best."""
    config = opened.config
    shape = config.image_shape if config is not None else None
    if shape is None:
        shape = _usual_shape(name, create_model(name, **options))
    if image_size is None:
        return tuple(shape)
    size = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    if not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"image_size must be (height, width), got {image_size!r}.")
    return (*size, shape[-1])


def _usual_shape(name: str, model: nn.Module) -> tuple[int, ...]:
    """Returns the shape of the images that a model is usually given."""
    try:
        return usual_image_shape(model if hasattr(model, "image_shape") else name)
    except ValueError:  # a model of the user's own
        return (224, 224, 3)
