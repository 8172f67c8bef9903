"""Convolution as one matrix product for each row of the kernel."""

import jax
import jax.numpy as jnp

from jaxcnn.ops.window import Window
from jaxcnn.typing import Array


def suits_unfolding(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `unfolded_conv` is the faster lowering on a CPU.

    So it is for large strided kernels over many channels: XLA's gradient with
    respect to their input took 20 times as long (9x9 of stride 2 over 256 channels).
    """
    return (
        x.ndim == 4
        and window.groups == 1
        and set(window.dilation) == {1}
        and min(window.stride) > 1
        and min(kernel.shape[:2]) >= 5
        and kernel.shape[2] >= 32
    )


def unfolded_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the cross-correlation of `x` and a kernel, both of two spatial axes.

    The columns under the kernel are laid side by side, once; then every row of the
    kernel is one matrix product. It equals `jaxcnn.ops.conv` but for rounding.

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[rows, columns, channels, features]`.
        window: Stride and padding; neither dilation nor groups.

    Returns:
        `[batch, *spatial, features]`, of the type of `x`.
    """
    x = jnp.pad(x, [(0, 0), *window.padding, (0, 0)])
    rows, columns, channels, features = kernel.shape
    down, right = window.stride
    high = (x.shape[1] - rows) // down + 1
    wide = (x.shape[2] - columns) // right + 1
    shifted = [x[:, :, j : j + (wide - 1) * right + 1 : right] for j in range(columns)]
    unfolded = jnp.concatenate(shifted, axis=-1)
    total = jnp.zeros((x.shape[0], high, wide, features), jnp.float32)
    for i in range(rows):
        total += jax.lax.dot_general(
            unfolded[:, i : i + (high - 1) * down + 1 : down],
            kernel[i].reshape(columns * channels, features),
            (((3,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
    return total.astype(x.dtype)
