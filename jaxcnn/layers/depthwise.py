"""Convolutions whose channels do not see each other, and the mixing behind them."""

from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.layers.conv import Conv, Padding, Size, check_windows, convolve
from jaxcnn.layers.initializers import Initializer
from jaxcnn.ops.convolution import PADDING_MODES
from jaxcnn.typing import Array, Dtype


class DepthwiseConv(nn.Module):
    """A convolution of every channel by itself, with `multiplier` kernels each.

    Channel `c * multiplier + k` out is channel c in, under its kernel k. Parameters:
    `kernel`, `[*spatial, 1, channels * multiplier]`, and `bias`, `[channels *
    multiplier]`: those of `Conv` with as many groups as there are channels. So there
    are `taps * channels * multiplier` weights.

    Attributes:
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        multiplier: Channels out for each channel in.
        padding: As in `conv_padding`; symmetric by default.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        dilation: Distance between the kernel's taps: one number, or one for each axis.
        use_bias: Whether a bias is added.
        kernel_init: Initialiser of the kernel; LeCun normal by default.
        bias_init: Initialiser of the bias.
        dtype: Computation type; parameters stay float32.
    """

    kernel_size: Size = 3
    stride: Size = 1
    multiplier: int = 1
    padding: Padding = "same"
    padding_mode: str = "zeros"
    dilation: Size = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("multiplier", self.multiplier, 1)
        check_windows(self, "kernel_size", "stride", "dilation")
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *spatial, channels * multiplier]`.

        Raises:
            ValueError: if the input has not one to three spatial axes, or the kernel
                exceeds the padded input.
        """
        channels = x.shape[-1]
        return convolve(self, x, channels * self.multiplier, channels)


class SeparableConv(nn.Module):
    """A depthwise convolution, `depthwise`, then a 1x1 convolution, `pointwise`.

    Nothing stands between the two, and the first has no bias. They have `taps *
    channels * multiplier` and `channels * multiplier * features` weights, where a full
    convolution has `taps * channels * features`.

    Attributes:
        features: Channels out.
        kernel_size: Of the depthwise convolution: one number, or one for each axis.
        stride: Of the depthwise convolution: one number, or one for each axis.
        multiplier: Channels between the two for each channel in.
        padding: As in `conv_padding`; symmetric by default.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        dilation: Of the depthwise convolution: one number, or one for each axis.
        use_bias: Whether the pointwise convolution adds a bias.
        kernel_init: Initialiser of both kernels; LeCun normal by default.
        bias_init: Initialiser of the bias.
        dtype: Computation type; parameters stay float32.

    References:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR
        2017, section 2, https://arxiv.org/abs/1610.02357.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    multiplier: int = 1
    padding: Padding = "same"
    padding_mode: str = "zeros"
    dilation: Size = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("features", self.features, 1)
        check_number("multiplier", self.multiplier, 1)
        check_windows(self, "kernel_size", "stride", "dilation")
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *spatial, features]` for `[batch, *spatial, channels]`.

        Raises:
            ValueError: if the input has not one to three spatial axes, or the kernel
                exceeds the padded input.
        """
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        x = DepthwiseConv(
            self.kernel_size,
            self.stride,
            self.multiplier,
            self.padding,
            self.padding_mode,
            self.dilation,
            use_bias=False,
            name="depthwise",
            **options,
        )(x)
        return Conv(
            self.features,
            1,
            use_bias=self.use_bias,
            bias_init=self.bias_init,
            name="pointwise",
            **options,
        )(x)
