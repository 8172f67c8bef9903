"""Convolution arithmetic in plain integers: sizes, parameters, multiply-adds, fields.

Every function speaks of one spatial axis, except where a kernel or a shape is given as
a sequence. Nothing here needs an array or a device.

References:
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
    https://arxiv.org/abs/1603.07285. Araujo, Norris and Sim, "Computing Receptive
    Fields of Convolutional Neural Networks", Distill 2019,
    https://distill.pub/2019/computing-receptive-fields.
"""

import math
from collections.abc import Iterable, Sequence

#: Kernel, stride and dilation of one layer of a stack, convolution or pooling.
Window = tuple[int, int, int]


def output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    r"""Returns the size after a convolution or a pooling.

    .. math:: \lfloor (n + 2p - d(f - 1) - 1) / s \rfloor + 1

    Args:
        size: Input size :math:`n` in pixels.
        kernel: Kernel size :math:`f`.
        stride: Step :math:`s` between two windows.
        padding: Pixels :math:`p` added on each side.
        dilation: Distance :math:`d` between two taps of the kernel.

    Raises:
        ValueError: if an argument is too small, or the kernel exceeds the padded input.

    Example:
        >>> output_size(6, 3), output_size(6, 3, stride=2), output_size(6, 3, padding=1)
        (4, 2, 6)

        28x28 through (convolution 5, pooling 2) twice, 20 channels: 320 features.

        >>> side = 28
        >>> for _ in range(2):
        ...     side = output_size(output_size(side, 5), 2, stride=2)
        >>> side * side * 20
        320
    """
    _check_positive(size=size, kernel=kernel, stride=stride, dilation=dilation)
    _check_not_negative(padding=padding)
    span = dilation * (kernel - 1) + 1
    if span > size + 2 * padding:
        raise ValueError(
            f"A kernel that spans {span} does not fit an input of {size} with padding "
            f"{padding} on each side: it needs size + 2 * padding >= {span}."
        )
    return (size + 2 * padding - span) // stride + 1


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Returns the padding on each side that keeps the size at stride 1.

    Raises:
        ValueError: if the kernel spans an even number of pixels: no equal padding on
            both sides keeps the size then.

    Example:
        >>> same_padding(3), same_padding(5), same_padding(3, dilation=2)
        (1, 2, 2)
    """
    _check_positive(kernel=kernel, dilation=dilation)
    reach = dilation * (kernel - 1)
    if reach % 2:
        raise ValueError(
            f"'Same' padding needs a kernel that spans an odd number of pixels, got "
            f"kernel {kernel} with dilation {dilation}, which spans {reach + 1}."
        )
    return reach // 2


def transposed_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    r"""Returns the size after a transposed convolution.

    .. math:: (n - 1)s - 2p + d(f - 1) + 1 + \text{output padding}

    Args:
        size: Input size :math:`n`.
        kernel: Kernel size :math:`f`.
        stride: The factor :math:`s` that the size grows by.
        padding: Padding :math:`p` of the convolution that this one transposes.
        dilation: Distance :math:`d` between two taps of the kernel.
        output_padding: Rows added at the end: it picks one of the `stride` sizes
            that the convolution maps to the same size.

    Raises:
        ValueError: if an argument is too small, or nothing would be left.

    Example:
        >>> transposed_output_size(7, 4, stride=2, padding=1)
        14
        >>> output_size(14, 4, stride=2, padding=1)
        7
    """
    _check_positive(size=size, kernel=kernel, stride=stride, dilation=dilation)
    _check_not_negative(padding=padding, output_padding=output_padding)
    reach = dilation * (kernel - 1)
    result = (size - 1) * stride - 2 * padding + reach + 1 + output_padding
    if result < 1:
        raise ValueError(
            f"A padding of {padding} leaves nothing of a transposed convolution of "
            f"size {size} with kernel {kernel} and stride {stride}."
        )
    return result


def conv_params(
    in_features: int,
    features: int,
    kernel: Sequence[int],
    *,
    groups: int = 1,
    bias: bool = True,
) -> int:
    """Returns the parameters of a convolution, transposed or not.

    Args:
        in_features: Input channels.
        features: Output channels.
        kernel: Kernel size of each axis, such as `(5, 5)`.
        groups: Groups of channels that do not see each other; equal to `in_features`
            in a depthwise convolution.
        bias: Whether there is one bias for each output channel.

    Raises:
        ValueError: if the groups do not divide the channels.

    Example:
        >>> conv_params(3, 10, (5, 5))
        760
        >>> conv_params(32, 32, (3, 3), groups=32, bias=False)
        288
    """
    _check_positive(in_features=in_features, features=features, groups=groups)
    if in_features % groups or features % groups:
        raise ValueError(
            f"{groups} groups must divide both the {in_features} input channels and "
            f"the {features} output channels."
        )
    taps = math.prod(kernel) * (in_features // groups)
    return taps * features + (features if bias else 0)


def conv_macs(
    in_features: int,
    features: int,
    kernel: Sequence[int],
    positions: Sequence[int],
    *,
    groups: int = 1,
) -> int:
    """Returns the multiply-adds of a convolution on one image; biases count nothing.

    Args:
        in_features: Input channels.
        features: Output channels.
        kernel: Kernel size of each axis.
        positions: Spatial shape over which the kernel moves: that of the output, or of
            the input for a transposed convolution.
        groups: As in `conv_params`.

    Example:
        5x5 from 192 to 32 channels on 28x28, direct and through a 1x1 to 16 channels
        (Szegedy et al., "Going deeper with convolutions", CVPR 2015):

        >>> conv_macs(192, 32, (5, 5), (28, 28))
        120422400
        >>> size = (28, 28)
        >>> conv_macs(192, 16, (1, 1), size) + conv_macs(16, 32, (5, 5), size)
        12443648
    """
    weights = conv_params(in_features, features, kernel, groups=groups, bias=False)
    return weights * math.prod(positions)


def dense_params(in_features: int, features: int, *, bias: bool = True) -> int:
    """Returns the parameters of a dense layer.

    Example:
        >>> dense_params(320, 10)
        3210
    """
    return conv_params(in_features, features, (), bias=bias)


def dense_macs(in_features: int, features: int) -> int:
    """Returns the multiply-adds of a dense layer on one vector.

    Example:
        >>> dense_macs(320, 10)
        3200
    """
    return dense_params(in_features, features, bias=False)


def receptive_field(layers: Iterable[Window]) -> int:
    """Returns how many input pixels one output of a stack of layers sees.

    Args:
        layers: `(kernel, stride, dilation)` of each layer, first layer first.

    Example:
        LeNet: convolution 5, pooling 2, convolution 5, pooling 2.

        >>> receptive_field([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)])
        16

        Three 3x3 convolutions see what one 7x7 sees, with fewer parameters.

        >>> receptive_field([(3, 1, 1)] * 3)
        7
    """
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        _check_positive(kernel=kernel, stride=stride, dilation=dilation)
        field += dilation * (kernel - 1) * jump
        jump *= stride
    return field


def effective_stride(layers: Iterable[Window]) -> int:
    """Returns the input pixels between two neighbouring outputs of a stack of layers.

    Example:
        >>> effective_stride([(7, 2, 1), (3, 2, 1)])
        4
    """
    return math.prod(stride for _, stride, _ in layers)


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")


def _check_not_negative(**values: int) -> None:
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}.")
