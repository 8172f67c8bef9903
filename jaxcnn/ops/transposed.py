"""The transposed convolution that doubles an image, as one matrix product."""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxcnn.typing import Array


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
