"""Convolution, convolution with batch normalisation, and what padding means here."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from jaxcnn.layers.activation import Activation, apply_activation
from jaxcnn.layers.checks import check_choice, check_number, check_numbers
from jaxcnn.layers.initializers import (
    Initializer,
    he_normal_fan_out,
    make_initializer,
)
from jaxcnn.layers.norm import batch_norm
from jaxcnn.ops.convolution import PADDING_MODES, conv, pad
from jaxcnn.typing import Array, Dtype

Size = int | Sequence[int]
Padding = str | int | Sequence[tuple[int, int]]


def conv_padding(
    padding: Padding,
    kernel_size: Sequence[int],
    dilation: Size = 1,
    *,
    stride: Size = 1,
    image: Sequence[int] | None = None,
) -> list[tuple[int, int]]:
    """Returns the (low, high) padding of each spatial axis of a convolution.

    Args:
        padding: A number for every side; a (low, high) pair for each spatial axis;
            `"valid"` for none; `"same"` for as much as keeps the size at stride 1. It
            does not depend on the stride, so `"same"` is symmetric for odd kernels, as
            in PyTorch. `"tensorflow"` is what TensorFlow and Keras call same: an
            output of `ceil(size / stride)`, an odd pixel added at the end, which
            depends on the stride and the image.
        kernel_size: Size of the kernel along each spatial axis.
        dilation: Distance between the kernel's taps.
        stride: Step of the convolution; for `"tensorflow"` alone.
        image: Spatial shape of the input; for `"tensorflow"` alone.

    Raises:
        ValueError: if `padding` is another word, a negative number, or has pairs for
            another number of axes.

    Example:
        >>> conv_padding("same", (3, 5))
        [(1, 1), (2, 2)]
        >>> conv_padding("tensorflow", (3, 3), stride=2, image=(224, 225))
        [(0, 1), (1, 1)]
    """
    rank = len(kernel_size)
    word = padding.lower() if isinstance(padding, str) else None
    spans = [
        d * (size - 1) + 1
        for d, size in zip(each_axis(dilation, rank), kernel_size, strict=True)
    ]
    if word == "tensorflow" and image is not None:
        return list(
            jax.lax.padtype_to_pads(image, spans, each_axis(stride, rank), "SAME")
        )
    if isinstance(padding, Sequence) and word is None and len(padding) == rank:
        return [(low, high) for low, high in padding]
    number = padding if isinstance(padding, int) else -1
    if word not in ("same", "valid", "tensorflow") and number < 0:
        raise ValueError(
            "padding must be 'same', 'valid', 'tensorflow', a number of at least 0, "
            f"or {rank} (low, high) pairs, got {padding!r}."
        )
    if word not in ("same", "tensorflow"):
        number = max(0, number)
        return [(number, number)] * rank
    return [((span - 1) // 2, span // 2) for span in spans]


def each_axis(value: Size, rank: int) -> tuple[int, ...]:
    """Returns one number for each of `rank` spatial axes.

    Raises:
        ValueError: if there are numbers for another number of axes.
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"Got {values!r} for an input with {rank} spatial axes.")
    return values


class Conv(nn.Module):
    """A convolution over one to three spatial axes.

    Parameters are those of `flax.linen.Conv`: `kernel`, `[*spatial, channels / groups,
    features]`, and `bias`, `[features]`.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        padding: As in `conv_padding`; symmetric by default.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        groups: Groups of channels that do not see each other; as many as there are
            channels for a depthwise convolution.
        dilation: Distance between the kernel's taps: one number, or one for each axis.
        use_bias: Whether a bias is added.
        kernel_init: Initialiser of the kernel, or its name; LeCun normal by default,
            as in Flax.
        bias_init: Initialiser of the bias.
        dtype: Computation type; parameters stay float32.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "same"
    padding_mode: str = "zeros"
    groups: int = 1
    dilation: Size = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("features", self.features, 1)
        check_number("groups", self.groups, 1)
        check_windows(self, "kernel_size", "stride", "dilation")
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *spatial, features]` for `[batch, *spatial, channels]`.

        Raises:
            ValueError: if the input has not one to three spatial axes, the groups do
                not divide the channels, or the kernel exceeds the padded input.
        """
        return convolve(self, x, self.features, self.groups)


def convolve(layer: Any, x: Array, features: int, groups: int) -> Array:
    """Returns the convolution of `x` with the `kernel` and `bias` that `layer` owns.

    Args:
        layer: A module with the attributes of `Conv`, other than the two given here.
        x: `[batch, *spatial, channels]`.
        features: Channels out.
        groups: Groups of channels that do not see each other.

    Raises:
        ValueError: as `Conv`.
    """
    check_spatial(type(layer).__name__, x)
    rank, channels = x.ndim - 2, x.shape[-1]
    if channels % groups or features % groups:
        raise ValueError(
            f"groups={groups} must divide both the {channels} channels of "
            f"the input and features={features}."
        )
    kernel_size = each_axis(layer.kernel_size, rank)
    shape = (*kernel_size, channels // groups, features)
    kernel = layer.param("kernel", make_initializer(layer.kernel_init), shape)
    bias = layer.param("bias", layer.bias_init, (features,)) if layer.use_bias else None
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=layer.dtype)
    stride, dilation = (each_axis(n, rank) for n in (layer.stride, layer.dilation))
    padding = conv_padding(
        layer.padding, kernel_size, dilation, stride=stride, image=x.shape[1:-1]
    )
    check_fit(type(layer).__name__, x, kernel_size, dilation, padding)
    if layer.padding_mode != "zeros":
        x = pad(x, padding, layer.padding_mode)
        padding = [(0, 0)] * rank
    y = conv(
        x, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return y if bias is None else y + bias.reshape((1,) * (rank + 1) + (-1,))


def check_spatial(who: str, x: Array) -> None:
    """Raises unless `x` has one to three spatial axes.

    Raises:
        ValueError: naming the layer and the shape that came.
    """
    if not 3 <= x.ndim <= 5:
        raise ValueError(
            f"{who} needs [batch, *spatial, channels] with one to three spatial "
            f"axes, got shape {tuple(x.shape)}."
        )


def check_windows(layer: Any, *names: str) -> None:
    """Raises unless a layer's kernel size, stride and so on are positive numbers.

    Raises:
        ValueError: naming the argument and its value.
    """
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, Sequence) and not isinstance(value, str):
            check_numbers(name, value, 1)
        else:
            check_number(name, value, 1)


def check_fit(
    who: str,
    x: Array,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> None:
    """Raises unless the kernel fits the padded input.

    Raises:
        ValueError: naming the layer, the span of the kernel and the shape.
    """
    spans = [d * (n - 1) + 1 for d, n in zip(dilation, kernel_size, strict=True)]
    sizes = [n + sum(pair) for n, pair in zip(x.shape[1:-1], padding, strict=True)]
    if any(span > size for span, size in zip(spans, sizes, strict=True)):
        raise ValueError(
            f"{who}: a kernel that spans {tuple(spans)} does not fit "
            f"an input of shape {tuple(x.shape)} with padding {padding}."
        )


class ConvNorm(nn.Module):
    """A convolution, `conv`, then BatchNorm, `norm`, then the activation, if any.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        padding: As in `conv_padding`; symmetric by default.
        groups: Groups of channels that do not see each other.
        dilation: Distance between the kernel's taps.
        activation: What `jaxcnn.layers.apply_activation` takes, such as `"relu"`; a
            module is named `act`. None by default.
        use_bias: Whether the convolution has a bias, which BatchNorm's makes useless.
        epsilon: Added to the variance.
        momentum: Weight of the old running statistics (PyTorch's is 1 minus this).
        kernel_init: Initialiser of the kernel; He normal, fan out, by default.
        scale_init: Initialiser of BatchNorm's scale.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "same"
    groups: int = 1
    dilation: Size = 1
    activation: str | Activation | None = None
    use_bias: bool = False
    epsilon: float = 1e-5
    momentum: float = 0.9
    kernel_init: Initializer = he_normal_fan_out
    scale_init: Initializer = jax.nn.initializers.ones
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, *spatial, features]` for `[batch, *spatial, channels]`."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.padding,
            groups=self.groups,
            dilation=self.dilation,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = batch_norm(
            use_running_average=not train,
            epsilon=self.epsilon,
            momentum=self.momentum,
            scale_init=self.scale_init,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="norm",
        )(x)
        if self.activation is None:
            return x
        return apply_activation(self.activation, x, train=train, name="act")
