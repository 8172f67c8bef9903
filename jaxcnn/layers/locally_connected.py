"""A convolution that shares nothing: every position has a kernel of its own."""

import itertools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.layers.conv import (
    Padding,
    Size,
    check_fit,
    check_spatial,
    check_windows,
    conv_padding,
    each_axis,
)
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.ops.convolution import PADDING_MODES, pad
from jaxcnn.typing import Array, Dtype


class LocallyConnected(nn.Module):
    """A convolution with its own kernel and bias at every position of the output.

    Parameters: `kernel`, `[*out, *kernel_size, channels, features]`, so that
    `kernel[row, column]` is the kernel of a `Conv` there, and `bias`, `[*out,
    features]`: in all `positions * features * (taps * channels + 1)`, `positions` times
    those of a convolution; as many multiply-adds. The image's size is thereby fixed.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        padding: As in `conv_padding`; none by default.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        dilation: Distance between the kernel's taps: one number, or one for each axis.
        use_bias: Whether a bias is added.
        kernel_init: Draws the kernel of each position, of a convolution's shape; LeCun
            normal by default.
        bias_init: Initialiser of the bias.
        dtype: Computation type; parameters stay float32.

    References:
        Taigman et al., "DeepFace: Closing the Gap to Human-Level Performance in Face
        Verification", CVPR 2014, section 3.1,
        https://doi.org/10.1109/CVPR.2014.220.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "valid"
    padding_mode: str = "zeros"
    dilation: Size = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("features", self.features, 1)
        check_windows(self, "kernel_size", "stride", "dilation")
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *out, features]` for `[batch, *spatial, channels]`.

        Raises:
            ValueError: if the input has not one to three spatial axes, or the kernel
                exceeds the padded input.
        """
        check_spatial("LocallyConnected", x)
        rank = x.ndim - 2
        kernel_size = each_axis(self.kernel_size, rank)
        stride, dilation = (each_axis(n, rank) for n in (self.stride, self.dilation))
        padding = conv_padding(
            self.padding, kernel_size, dilation, stride=stride, image=x.shape[1:-1]
        )
        check_fit("LocallyConnected", x, kernel_size, dilation, padding)
        x = pad(x, padding, self.padding_mode)
        taps = _taps(x, kernel_size, stride, dilation)
        out, channels = taps[0].shape[1:-1], x.shape[-1]
        shape = (*out, *kernel_size, channels, self.features)
        init = _each_position(make_initializer(self.kernel_init), rank)
        kernel = self.param("kernel", init, shape)
        bias = (
            self.param("bias", self.bias_init, (*out, self.features))
            if self.use_bias
            else None
        )
        patches = jnp.stack(taps, axis=-2)
        patches, kernel, bias = nn.dtypes.promote_dtype(
            patches, kernel, bias, dtype=self.dtype
        )
        kernel = kernel.reshape(*out, len(taps), channels, self.features)
        axes = "xyz"[:rank]
        y = jnp.einsum(f"b{axes}tc,{axes}tcf->b{axes}f", patches, kernel)
        return y if bias is None else y + bias[None]


def _taps(x, kernel_size, stride, dilation) -> list[Array]:
    """Returns what each tap of the kernel sees, `[batch, *out, channels]` each."""
    counts = [
        (n - d * (f - 1) - 1) // s + 1
        for n, f, s, d in zip(x.shape[1:-1], kernel_size, stride, dilation, strict=True)
    ]
    taps = []
    for tap in itertools.product(*map(range, kernel_size)):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        cut = [
            slice(begin, begin + (count - 1) * s + 1, s)
            for begin, count, s in zip(starts, counts, stride, strict=True)
        ]
        taps.append(x[:, *cut])
    return taps


def _each_position(initializer: Initializer, rank: int) -> Initializer:
    """Returns an initialiser that draws each position's kernel by itself.

    So that the fan in is that of one kernel.
    """

    def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        keys = jax.random.split(key, math.prod(shape[:rank]))
        draw = jax.vmap(lambda key: initializer(key, shape[rank:], dtype))
        return draw(keys).reshape(shape)

    return init
