"""What a convolution is told beside its arrays, and XLA's own convolution."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from jaxcnn.typing import Array

Pairs = tuple[tuple[int, int], ...]


class Window(NamedTuple):
    """How a kernel moves over an image: static, and hashable.

    Attributes:
        stride: Step along each spatial axis.
        padding: Zeros (before, after) each spatial axis; negative ones crop.
        dilation: Distance between the kernel's taps along each spatial axis.
        groups: Groups of channels that do not see each other.
    """

    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]
    groups: int = 1

    def sizes(self, x: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Returns the spatial shape out, for the spatial shapes of image and kernel."""
        rows = zip(x, kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(
            (n + sum(pair) - d * (taps - 1) - 1) // s + 1
            for n, taps, s, pair, d in rows
        )


def plain_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the cross-correlation by XLA's own convolution.

    Args:
        x: `[batch, *spatial, channels]` with one to three spatial axes.
        kernel: `[*spatial, channels / groups, features]`.
        window: Stride, padding, dilation and groups.

    Returns:
        `[batch, *spatial, features]`.
    """
    axes = "DHW"[-(x.ndim - 2) :]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.stride,
        padding=window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=window.groups,
    )


def vary_alike(*arrays: Array) -> list[Array]:
    """Returns the arrays, each varying over every mapped axis that one varies over.

    Under `jax.shard_map` a kernel is commonly the same on every device and the images
    are not. JAX tells the two apart in the types, and what has hand-written gradients
    needs them alike; the sum over devices is then taken outside, where it belongs.
    """
    axes = frozenset().union(*map(_varying_axes, arrays))
    missing = [tuple(sorted(axes - _varying_axes(x))) for x in arrays]
    return [
        jax.lax.pcast(x, more, to="varying") if more else x
        for x, more in zip(arrays, missing, strict=True)
    ]


def _varying_axes(x: Array) -> frozenset[str]:
    kind = jax.typeof(x)
    # JAX 0.10.2 moved them.
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma
