"""Convolutions of one tap as matrix products."""

import jax

from jaxcnn.ops.products import product
from jaxcnn.ops.window import Window
from jaxcnn.typing import Array


def suits_pointwise(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `pointwise_conv` computes it, and is faster on a CPU.

    Any kernel of one tap with one group. XLA's convolution is slower mostly in its
    gradient with respect to the kernel, which here is a matrix product as well.
    """
    return (
        window.groups == 1
        and set(kernel.shape[:-2]) == {1}
        and not any(map(any, window.padding))
    )


def pointwise_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the convolution of a kernel of one tap: a matrix product over channels.

    A stride first drops the positions that are not asked for.

    Args:
        x: `[batch, *spatial, channels]`.
        kernel: `[1, ..., 1, channels, features]`.
        window: Its stride alone counts.

    Returns:
        `[batch, *spatial, features]`.
    """
    if set(window.stride) != {1}:
        x = jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *window.stride, 1))
    # Two axes: of more XLA would write a transposed copy for the kernel's gradient.
    y = product(x.reshape(-1, x.shape[-1]), kernel.reshape(kernel.shape[-2:]))
    return y.reshape(*x.shape[:-1], kernel.shape[-1])
