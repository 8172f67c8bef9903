"""Grouped convolution as convolutions of neighbouring groups, with zeros between."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcnn.ops.window import Window
from jaxcnn.typing import Array

# Channels that a convolution is fast with. Fewer are put together: more arithmetic,
# most of it for nothing, in products that are wide enough.
_WIDTH = 64


def suits_groups(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `grouped_conv` computes it, and is faster on a CPU.

    XLA's gradients of a grouped convolution took a hundred times as long (ResNeXt's 32
    groups of 4 channels at 56x56). Groups of one channel are left to others.
    """
    return (
        window.groups > 1
        and kernel.shape[-2] > 1
        and jnp.issubdtype(x.dtype, jnp.floating)
        and 0 not in x.shape
    )


def grouped_conv(
    x: Array,
    kernel: Array,
    window: Window,
    *,
    convolve: Callable[[Array, Array, Window], Array],
) -> Array:
    """Returns the convolution of each group of channels by itself.

    As many neighbouring groups as fill 64 channels are one convolution, whose kernel
    is zero between groups. JAX derives the gradients.

    Args:
        x: `[batch, *spatial, channels]`.
        kernel: `[*spatial, channels / groups, features]`.
        window: With the number of groups.
        convolve: Computes a convolution of one group.

    Returns:
        `[batch, *spatial, features]`.
    """
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // window.groups
    together = _together(window.groups, max(inputs, outputs))
    if together > 1:
        kernel = _with_zeros(kernel, together, outputs)
    inputs, outputs = together * inputs, together * outputs
    one = window._replace(groups=1)
    parts = [
        convolve(
            x[..., k * inputs : (k + 1) * inputs],
            kernel[..., k * outputs : (k + 1) * outputs],
            one,
        )
        for k in range(window.groups // together)
    ]
    return jnp.concatenate(parts, axis=-1)


def _together(groups: int, channels: int) -> int:
    """Returns how many groups are one convolution: they divide the groups."""
    most = max(1, min(groups, _WIDTH // channels))
    return max(n for n in range(1, most + 1) if groups % n == 0)


def _with_zeros(kernel: Array, together: int, outputs: int) -> Array:
    """Returns `[*spatial, together * inputs, features]`, zero where groups differ."""
    inputs, features = kernel.shape[-2:]
    tiled = jnp.tile(kernel, (*(1,) * (kernel.ndim - 2), together, 1))
    shape = (together * inputs, features)
    row = jax.lax.broadcasted_iota(jnp.int32, shape, 0) // inputs
    column = jax.lax.broadcasted_iota(jnp.int32, shape, 1) // outputs % together
    same = jnp.broadcast_to(row == column, tiled.shape)
    return jnp.where(same, tiled, jnp.zeros((), kernel.dtype))
