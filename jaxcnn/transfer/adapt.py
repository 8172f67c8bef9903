"""Weights of one number of classes and channels, for a model of other numbers."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.train.state import run_once_options
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, PyTree

#: The shapes of a model's variables by the number of channels and of classes.
ShapesOf = Callable[[int, int | None], PyTree]


def class_axes(shapes_of: ShapesOf, channels: int, classes: int) -> dict[str, int]:
    """Returns the leaves that depend on the number of classes, and which axis does.

    Args:
        shapes_of: Gives the model's shapes.
        channels: Channels of the images.
        classes: Any number of classes.
    """
    return _axes(shapes_of(channels, classes), shapes_of(channels, classes + 1))


def channel_axes(
    shapes_of: ShapesOf, channels: int, classes: int | None
) -> dict[str, int]:
    """Returns the leaves that depend on the images' channels, and which axis does."""
    return _axes(shapes_of(channels, classes), shapes_of(channels + 1, classes))


def _axes(one: PyTree, other: PyTree) -> dict[str, int]:
    one, other = flatten_named(one), flatten_named(other)
    found = {}
    for name in one.keys() & other.keys():
        pairs = zip(one[name].shape, other[name].shape, strict=True)
        differing = [axis for axis, (a, b) in enumerate(pairs) if a != b]
        if differing:
            found[name] = differing[0]
    return found


def adapt_input_kernel(kernel: np.ndarray, channels: int) -> np.ndarray:
    r"""Returns a convolution's kernel for images of another number of channels.

    For one channel it is the sum over the old ones, so that a gray image gives what the
    same image in equal channels gave. For :math:`t` channels from :math:`c`, the old
    ones are repeated and rescaled, so that a constant image gives what it gave:

    .. math:: k'_{i} = \frac{c}{t} k_{i \bmod c}, \quad 0 \le i < t

    (exact where :math:`c` divides :math:`t`).

    Args:
        kernel: `[*spatial, old channels, out]`.
        channels: The new number.

    Example:
        >>> kernel = np.array([[[[1.0], [2.0], [3.0]]]])
        >>> print(adapt_input_kernel(kernel, 1).ravel())
        [6.]
        >>> print(adapt_input_kernel(kernel, 6).ravel())
        [0.5 1.  1.5 0.5 1.  1.5]
    """
    old = kernel.shape[-2]
    kernel = np.asarray(kernel, np.float32)
    if channels == 1:
        return kernel.sum(-2, keepdims=True)
    return kernel[..., np.arange(channels) % old, :] * np.float32(old / channels)


def initial_leaves(
    model: nn.Module, images: jax.ShapeDtypeStruct, names: list[str], key: Array
) -> Mapping[str, Array]:
    """Returns some leaves as `model.init(key, ...)` makes them, and no others.

    Args:
        model: The model.
        images: Shape and type of a batch.
        names: Names of leaves such as `"params/head/kernel"`.
        key: The random key of the initialisers.
    """

    @functools.partial(jax.jit, compiler_options=run_once_options())
    def make(key: Array) -> dict[str, Array]:
        variables = model.init(key, jnp.zeros(images.shape, images.dtype))
        leaves = flatten_named(variables)
        return {name: leaves[name] for name in names}

    return make(key)
