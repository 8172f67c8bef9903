"""Transposed convolutions: any, and one that doubles an image, as a matrix product."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def conv_transpose(
    x: Array,
    kernel: Array,
    *,
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    """Returns the transpose of a convolution: its gradient by its input.

    Args:
        x: `[batch, *spatial, channels]` with one to three spatial axes.
        kernel: `[*spatial, features / groups, channels]`: that of the convolution from
            the features to the channels.
        stride: The convolution's: how far apart two inputs lie in the output.
        padding: The convolution's (before, after) along each spatial axis, which is cut
            off here.
        output_padding: Positions added at the end of each spatial axis: it chooses
            among the sizes that the convolution maps to the same one.
        dilation: Distance between the kernel's taps along each spatial axis.
        groups: Groups of channels that do not see each other.

    Returns:
        `[batch, *out, features]` with `out = (n - 1) * stride - before - after +
        dilation * (kernel - 1) + 1 + output_padding`.
    """
    *window, features, channels = kernel.shape
    rank = len(window)
    # [*spatial, channels / groups, groups * features / groups], mirrored.
    kernel = jnp.flip(kernel, range(rank))
    kernel = kernel.reshape(*window, features, groups, channels // groups)
    kernel = jnp.moveaxis(kernel, -1, rank)
    kernel = jnp.swapaxes(kernel, -1, -2)
    kernel = kernel.reshape(*window, channels // groups, groups * features)
    spans = [d * (size - 1) for d, size in zip(dilation, window, strict=True)]
    axes = "DHW"[-rank:]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * rank,
        padding=[
            (span - low, span - high + extra)
            for span, (low, high), extra in zip(
                spans, padding, output_padding, strict=True
            )
        ],
        lhs_dilation=tuple(stride),
        rhs_dilation=tuple(dilation),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=groups,
    )


def double_conv_transpose(x: Array, kernel: Array, size: Sequence[int]) -> Array:
    """Returns the transposed convolution of a 4x4 kernel with stride 2 and padding 1.

    Output position `2q + r` only ever meets two of the kernel's four rows, so the four
    phases are one 2x2 convolution with four times the channels, whose outputs are
    interleaved (Shi et al., "Is the deconvolution layer the same as a convolutional
    layer?", 2016, https://arxiv.org/abs/1609.07009), and that is a matrix product over
    unfolded windows. What it is for is the gradient of the kernel: for 64 images of
    14x14x32, XLA's own took more than ten times the CPU time (x86-64, jax 0.10.2).

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[4, 4, features, channels]`, as `nn.ConvTranspose` holds it under
            `transpose_kernel=True`: that of the convolution it is the gradient of.
        size: Height and width out: twice those of `x`, or one less.

    Returns:
        `[batch, *size, features]`, what PyTorch's `ConvTranspose2d` gives.

    Raises:
        ValueError: if the kernel or the size is another.
    """
    batch, height, width, channels = x.shape
    features = kernel.shape[2]
    _check(x, kernel, size)
    # Between inputs q - 1 and q lie outputs 2q - 1 and 2q. Output 2q - 1 + f takes tap
    # 2 + f of the input before and tap f of the one behind.
    taps = kernel.reshape(2, 2, 2, 2, features, channels)[::-1, :, ::-1]
    taps = taps.transpose(0, 2, 5, 1, 3, 4).reshape(4 * channels, 4 * features)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [
        x[:, row : row + height + 1, column : column + width + 1]
        for row in (0, 1)
        for column in (0, 1)
    ]
    y = jnp.tensordot(jnp.concatenate(windows, axis=-1), taps, axes=1)
    y = y.reshape(batch, height + 1, width + 1, 2, 2, features)
    y = jnp.swapaxes(y, 2, 3).reshape(batch, 2 * height + 2, 2 * width + 2, features)
    return y[:, 1 : size[0] + 1, 1 : size[1] + 1]


def _check(x: Array, kernel: Array, size: Sequence[int]) -> None:
    if kernel.shape[:2] != (4, 4) or kernel.shape[3] != x.shape[3]:
        raise ValueError(
            "double_conv_transpose needs a kernel of shape [4, 4, features, "
            f"{x.shape[3]}], got {tuple(kernel.shape)}."
        )
    for name, n, target in zip(("height", "width"), x.shape[1:3], size, strict=True):
        if target not in (2 * n, 2 * n - 1):
            raise ValueError(
                f"double_conv_transpose turns {name} {n} into {2 * n - 1} or {2 * n}, "
                f"not {target}."
            )
