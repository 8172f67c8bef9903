"""What the channels of a layer say of every place of an image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.data.preprocess import to_float
from jaxcnn.interpret.compiling import compiled
from jaxcnn.interpret.targets import output_at
from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array, PyTree


def feature_maps(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    path: str,
    *,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns the feature maps of a submodule, `[batch, height, width, channels]`.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables.
        images: `[batch, height, width, channels]`, as `preprocess` takes them.
        path: Path of the submodule.
        preprocess: From pixels to the model's input; by default integers are divided by
            their type's maximum.

    Raises:
        ValueError: if there is no such submodule, or its output has no positions.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> images = jnp.zeros((2, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> feature_maps(model, variables, images, "conv1").shape
        (2, 24, 24, 10)
    """
    maps = compiled(_maps, model, path, preprocess)(variables, images)
    if maps.ndim < 3:
        raise ValueError(
            f"{path!r} gives shape {list(maps.shape)}, which are no maps: take a "
            "submodule before the pooling."
        )
    return maps


def _maps(
    model: nn.Module,
    path: str,
    preprocess: Callable[[Array], Array] | None,
    variables: PyTree,
    images: Array,
) -> Array:
    images = (preprocess or to_float)(images)
    return output_at(model, variables, images, path).astype(jnp.float32)


def strongest_channels(maps: Array, count: int = 16) -> Array:
    """Returns the channels that are most active on average, the strongest first.

    Args:
        maps: `[height, width, channels]` of one image, or `[batch, ...]` of several.
        count: How many; all where there are fewer.

    Returns:
        Their numbers, `[count]` or `[batch, count]` int32.
    """
    check_number("count", count, 1)
    axes = tuple(range(maps.ndim))[-3:-1]
    means = jnp.abs(maps).mean(axis=axes)
    return jax.lax.top_k(means, min(count, maps.shape[-1]))[1]
