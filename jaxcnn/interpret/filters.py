"""The kernels of a network as pictures."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.models.calls import trace_calls
from jaxcnn.tree import flatten_named, nearest
from jaxcnn.typing import Array, PyTree


def first_layer(model: nn.Module, image_shape: Sequence[int]) -> str:
    """Returns the path of the first convolution or dense layer that is called.

    Args:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.

    Raises:
        ValueError: if it calls none.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> first_layer(create_model("resnet20_cifar"), (32, 32, 3))
        'stem/conv'
    """
    calls, _, _ = trace_calls(model, (1, *image_shape), jnp.float32, {})
    for call in calls:
        if call.kernel_shape and call.kind in ("convolution", "dense"):
            return "/".join(call.path)
    raise ValueError(f"{type(model).__name__} calls no convolution and no dense layer.")


def filter_images(
    variables: PyTree,
    path: str,
    *,
    channel: int | None = None,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """Returns the kernels of a layer as pictures: grey is 0, white its largest weight.

    Each kernel has its own scale, around 0, so that its sign can be seen: 0.5 + w /
    (2 max |w|).

    Args:
        variables: The model's variables, or its parameters.
        path: Path of a convolution, or of a dense layer right behind flattened images.
        channel: Which channel of the layer's input to show alone, in grey; needed where
            there are neither 1 nor 3.
        image_shape: Dense layers: `(height, width, channels)` of the images.

    Returns:
        `[features, height, width, channels]` float32 in [0, 1].

    Raises:
        ValueError: if there is no kernel at that path, or it makes no pictures.

    Example:
        >>> kernel = jnp.array([-2.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
        >>> variables = {"params": {"conv": {"kernel": kernel}}}
        >>> filter_images(variables, "conv")[0, 0, :, 0].tolist()
        [0.0, 0.5, 0.75]
    """
    kernel = _kernel(variables, path)
    if kernel.ndim == 2 and image_shape is not None:
        kernel = _unflattened(kernel, path, image_shape)
    if kernel.ndim != 4:
        raise ValueError(
            f"{path!r} has a kernel of shape {list(kernel.shape)}, no picture: "
            "[height, width, channels, features] is needed, or of a dense layer behind "
            "flattened images image_shape=."
        )
    inputs = kernel.shape[2]
    if channel is not None:
        check_number("channel", channel, 0, inputs)
        kernel = kernel[:, :, channel : channel + 1]
    elif inputs not in (1, 3):
        raise ValueError(
            f"{path!r} has kernels of {inputs} channels: give one, channel=."
        )
    pictures = jnp.moveaxis(kernel, -1, 0).astype(jnp.float32)
    largest = jnp.abs(pictures).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + pictures / (2 * jnp.where(largest > 0, largest, 1))


def _kernel(variables: PyTree, path: str) -> Array:
    named = flatten_named(variables.get("params", variables))
    ending = "/kernel"
    kernels = {name.removesuffix(ending) for name in named if name.endswith(ending)}
    if path not in kernels:
        raise ValueError(f"There is no kernel at {path!r}.{nearest(path, kernels)}")
    return jnp.asarray(named[path + ending])


def _unflattened(kernel: Array, path: str, image_shape: Sequence[int]) -> Array:
    try:
        return kernel.reshape(*image_shape, -1)
    except TypeError:
        raise ValueError(
            f"{path!r} has {kernel.shape[0]} inputs, which are no images of shape "
            f"{list(image_shape)}."
        ) from None
