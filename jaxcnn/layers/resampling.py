"""What halves an image and what doubles it, in networks that give an image back."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.arithmetic import output_size
from jaxcnn.layers.conv import conv_padding
from jaxcnn.ops import avg_pool, conv_general_dilated, max_pool
from jaxcnn.ops.transposed import double_conv_transpose
from jaxcnn.typing import Array

#: How a stage halves the image, and how it doubles it.
DOWNSAMPLES = ("stride", "max", "average")
UPSAMPLES = ("transposed", "nearest", "bilinear")


def halved_sizes(size: Sequence[int], times: int) -> list[tuple[int, ...]]:
    """Returns the size of the image and after each halving, rounded up.

    Example:
        >>> halved_sizes((28, 29), 2)
        [(28, 29), (14, 15), (7, 8)]
    """
    sizes = [tuple(size)]
    for _ in range(times):
        sizes.append(tuple(output_size(n, 3, stride=2, padding=1) for n in sizes[-1]))
    return sizes


def downsample(x: Array, features: int, method: str, **options: Any) -> Array:
    """Returns `x` through a 3x3 convolution that halves it, rounding up.

    Args:
        x: `[batch, height, width, channels]`.
        features: Channels out.
        method: One of `DOWNSAMPLES`.
        **options: Given to the convolution, such as its name.
    """
    if method == "stride":
        return conv3x3(features, stride=2, **options)(x)
    x = conv3x3(features, **options)(x)
    # The last row or column of an odd side makes a window of its own.
    padding = [(0, n % 2) for n in x.shape[1:3]]
    if method == "max":
        return max_pool(x, 2, padding=padding)
    return avg_pool(x, 2, padding=padding, count_include_pad=False)


def upsample(
    x: Array, features: int, size: Sequence[int], method: str, **options: Any
) -> Array:
    """Returns `x` doubled; one row or column less where the size asked for is odd.

    Args:
        x: `[batch, height, width, channels]`.
        features: Channels out.
        size: Height and width out: twice those of `x`, or one less.
        method: One of `UPSAMPLES`.
        **options: Given to the convolution, such as its name.

    References:
        Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", Distill
        2016, https://distill.pub/2016/deconv-checkerboard.
    """
    if method == "transposed":
        return DoubleConvTranspose(features, **options)(x, size)
    x = enlarge(x, method)[:, : size[0], : size[1]]
    return conv3x3(features, **options)(x)


class DoubleConvTranspose(nn.ConvTranspose):
    """A 4x4 transposed convolution with stride 2; otherwise Linen's own.

    The stride divides the kernel, so that every output pixel sees equally many inputs.

    Attributes:
        features: Channels out.
        dtype: Computation type; parameters stay float32.
    """

    kernel_size: Sequence[int] = (4, 4)
    strides: Sequence[int] = (2, 2)

    @nn.compact
    def __call__(self, x: Array, size: Sequence[int]) -> Array:
        """Returns `[batch, *size, features]`; see `double_conv_transpose`."""
        shape = (*self.kernel_size, self.features, x.shape[-1])
        # Channels out stand before channels in.
        kernel_init = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
        kernel = self.param("kernel", kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return double_conv_transpose(x, kernel, size) + bias.reshape(1, 1, 1, -1)


def enlarge(x: Array, method: str) -> Array:
    """Returns the image with twice the height and width.

    Args:
        x: `[batch, height, width, channels]`.
        method: `"nearest"` or `"bilinear"`.

    Example:
        >>> row = jnp.array([1, 2]).reshape(1, 1, 2, 1)
        >>> enlarge(row, "nearest")[0, :, :, 0].tolist()
        [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if method == "nearest":
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    batch, height, width, channels = x.shape
    return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), method)


def conv3x3(features: int, stride: int = 1, **options: Any) -> nn.Conv:
    """Returns a 3x3 convolution with symmetric padding."""
    padding = conv_padding("same", (3, 3))
    return nn.Conv(
        features,
        (3, 3),
        (stride, stride),
        padding=padding,
        conv_general_dilated=conv_general_dilated,
        **options,
    )


def output_conv(x: Array, channels: int, bias: float) -> Array:
    """Returns the last 3x3 convolution of `x`; it computes in float32."""
    bias_init = nn.initializers.constant(bias)
    conv = conv3x3(channels, bias_init=bias_init, name="output")
    return conv(x.astype(jnp.float32))
