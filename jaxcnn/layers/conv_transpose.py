"""Transposed convolution with PyTorch's sizes."""

from typing import Any

from flax import linen as nn

from jaxcnn.layers.checks import check_number, check_numbers
from jaxcnn.layers.conv import (
    Padding,
    Size,
    check_spatial,
    check_windows,
    conv_padding,
    each_axis,
)
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.ops.transposed import conv_transpose
from jaxcnn.typing import Array, Dtype


class ConvTranspose(nn.Module):
    r"""A transposed convolution over one to three spatial axes.

    It maps back the sizes that a convolution of the same kernel, stride and padding
    maps: along each axis

    .. math:: (n - 1)s - 2p + d(f - 1) + 1 + \text{output padding}

    Parameters are those of `flax.linen.ConvTranspose(transpose_kernel=True)`:
    `kernel`, `[*spatial, features / groups, channels]`, and `bias`, `[features]`.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: The factor that the size grows by: one number, or one for each axis.
        padding: Of the convolution that this one transposes, so that more of it makes
            the output smaller: a number, (low, high) pairs, `"valid"`, or `"same"` for
            as much as keeps the size at stride 1.
        output_padding: Rows added at the end, fewer than the stride or the dilation:
            they choose among the sizes that the convolution maps to the same one.
        groups: Groups of channels that do not see each other.
        dilation: Distance between the kernel's taps: one number, or one for each axis.
        use_bias: Whether a bias is added.
        kernel_init: Initialiser of the kernel; by default LeCun normal over the
            channels in, the kernel's last axis. A name draws with that axis as the
            channels in; a function draws the kernel as it lies.
        bias_init: Initialiser of the bias.
        dtype: Computation type; parameters stay float32.

    References:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
        section 4, https://arxiv.org/abs/1603.07285.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = 0
    output_padding: Size = 0
    groups: int = 1
    dilation: Size = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    bias_init: Initializer = nn.initializers.zeros
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("features", self.features, 1)
        check_number("groups", self.groups, 1)
        check_windows(self, "kernel_size", "stride", "dilation")
        extra = self.output_padding
        check_numbers("output_padding", [extra] if isinstance(extra, int) else extra, 0)
        if isinstance(self.padding, str) and self.padding.lower() == "tensorflow":
            raise ValueError(
                "ConvTranspose takes padding 'same', 'valid', a number or (low, high) "
                "pairs, got 'tensorflow'."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *out, features]` for `[batch, *spatial, channels]`.

        Raises:
            ValueError: if the input has not one to three spatial axes, the groups do
                not divide the channels, the output padding is too large, or nothing
                would be left.
        """
        check_spatial("ConvTranspose", x)
        rank, channels = x.ndim - 2, x.shape[-1]
        if channels % self.groups or self.features % self.groups:
            raise ValueError(
                f"groups={self.groups} must divide both the {channels} channels of "
                f"the input and features={self.features}."
            )
        window = {
            "stride": each_axis(self.stride, rank),
            "dilation": each_axis(self.dilation, rank),
            "output_padding": each_axis(self.output_padding, rank),
        }
        kernel_size = each_axis(self.kernel_size, rank)
        padding = conv_padding(self.padding, kernel_size, window["dilation"])
        self._check_sizes(x, kernel_size, padding, **window)
        shape = (*kernel_size, self.features // self.groups, channels)
        kernel = self.param("kernel", _drawn(self.kernel_init), shape)
        bias = (
            self.param("bias", self.bias_init, (self.features,))
            if self.use_bias
            else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(x, kernel, padding=padding, groups=self.groups, **window)
        return y if bias is None else y + bias.reshape((1,) * (rank + 1) + (-1,))

    def _check_sizes(
        self, x, kernel_size, padding, *, stride, dilation, output_padding
    ) -> None:
        limits = map(max, stride, dilation)
        if any(n >= limit for n, limit in zip(output_padding, limits, strict=True)):
            raise ValueError(
                f"output_padding={self.output_padding!r} must be smaller than the "
                f"stride, {stride}, or the dilation, {dilation}."
            )
        sizes = [
            (n - 1) * s - sum(pair) + d * (f - 1) + 1 + extra
            for n, s, pair, d, f, extra in zip(
                x.shape[1:-1],
                stride,
                padding,
                dilation,
                kernel_size,
                output_padding,
                strict=True,
            )
        ]
        if min(sizes) < 1:
            raise ValueError(
                f"padding={self.padding!r} leaves nothing of the transposed "
                f"convolution of an input of shape {tuple(x.shape)}: its size would be "
                f"{tuple(sizes)}."
            )


def _drawn(kernel_init: str | Initializer) -> Initializer:
    """Returns an initialiser of the kernel, whose channels in are its last axis.

    The ones with a name have them last but one, and count the fan in there.
    """
    if callable(kernel_init):
        return kernel_init
    init = make_initializer(kernel_init)

    def draw(key: Any, shape: tuple[int, ...], *dtype: Dtype) -> Array:
        *spatial, out, channels = shape
        return init(key, (*spatial, channels, out), *dtype).swapaxes(-1, -2)

    return draw
