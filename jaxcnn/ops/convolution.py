"""Convolution and padding over any number of spatial axes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcnn.ops.unfolded import suits_unfolding, unfolded_conv
from jaxcnn.typing import Array

#: What `pad` calls the ways to continue an image beyond its border, by the names that
#: PyTorch uses, and what NumPy calls them.
PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def conv(
    x: Array,
    kernel: Array,
    *,
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    """Returns the cross-correlation that networks call convolution: no flipping.

    Args:
        x: `[batch, *spatial, channels]` with one to three spatial axes.
        kernel: `[*spatial, channels / groups, features]`.
        stride: Step along each spatial axis.
        padding: Zeros (before, after) each spatial axis.
        dilation: Distance between the kernel's taps along each spatial axis.
        groups: Groups of channels that do not see each other.

    Returns:
        `[batch, *spatial, features]`.
    """
    if suits_unfolding(x, kernel, stride, dilation, groups):
        return unfolded_conv(x, kernel, stride=stride, padding=padding)
    axes = "DHW"[-(x.ndim - 2) :]
    dimensions = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=tuple(stride),
        padding=list(padding),
        rhs_dilation=tuple(dilation),
        dimension_numbers=dimensions,
        feature_group_count=groups,
    )


def pad(x: Array, padding: Sequence[tuple[int, int]], mode: str = "zeros") -> Array:
    """Returns `x` continued beyond the borders of its spatial axes.

    Args:
        x: `[batch, *spatial, channels]`.
        padding: Positions to add (before, after) each spatial axis.
        mode: `"zeros"`; `"reflect"`, mirrored at the border pixel, which is not
            repeated; `"replicate"`, the border pixel again; `"circular"`, from the
            other side.

    Raises:
        ValueError: if the mode is unknown, or the image is too small for it.

    Example:
        >>> row = jnp.array([1, 2, 3])[None, :, None]
        >>> [pad(row, [(2, 2)], mode)[0, :, 0].tolist() for mode in PADDING_MODES]
        [[0, 0, 1, 2, 3, 0, 0], [3, 2, 1, 2, 3, 2, 1], [1, 1, 1, 2, 3, 3, 3],
         [2, 3, 1, 2, 3, 1, 2]]
    """
    if mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode={mode!r} is unknown. Allowed: "
            f"{', '.join(map(repr, PADDING_MODES))}."
        )
    for size, pair in zip(x.shape[1:-1], padding, strict=True):
        room = size - (mode == "reflect")
        if mode in ("reflect", "circular") and max(pair) > room:
            raise ValueError(
                f"padding_mode={mode!r} can add at most {room} pixels to an axis of "
                f"{size}, not {max(pair)}: the input has shape {tuple(x.shape)}."
            )
    widths = [(0, 0), *map(tuple, padding), (0, 0)]
    return jnp.pad(x, widths, mode=PADDING_MODES[mode])
