"""Counts: parameters, multiply-adds, and steps of an epoch."""

import math

from jaxcnn.arithmetic.axes import (
    check_all_at_least,
    check_at_least,
    each_axis,
    known_axes,
)
from jaxcnn.arithmetic.sizes import Size


def conv_params(
    in_features: int,
    features: int,
    kernel: Size,
    *,
    groups: int = 1,
    bias: bool = True,
    axes: int | None = None,
) -> int:
    """Returns the parameters of a convolution, transposed or not.

    F * F * D * K weights, for F x F kernels over D channels, and K biases.

    Args:
        in_features: Input channels.
        features: Output channels.
        kernel: Kernel size of each axis, such as `(5, 5)`, or one number and `axes`.
        groups: Groups of channels that do not see each other; equal to `in_features`
            in a depthwise convolution.
        bias: Whether there is one bias for each output channel.
        axes: Number of spatial axes, for a `kernel` of one number.

    Raises:
        ValueError: if the groups do not divide the channels, an argument is too small,
            or the number of axes is not known.

    Example:
        >>> conv_params(3, 10, (5, 5))
        760
        >>> conv_params(32, 32, 3, axes=2, groups=32, bias=False)
        288
    """
    check_at_least(1, in_features=in_features, features=features, groups=groups)
    check_all_at_least(1, kernel=kernel)
    if in_features % groups or features % groups:
        raise ValueError(
            f"{groups} groups must divide both the {in_features} input channels and "
            f"the {features} output channels."
        )
    window = each_axis(kernel, known_axes(axes, kernel=kernel))
    taps = math.prod(window) * (in_features // groups)
    return taps * features + (features if bias else 0)


def conv_macs(
    in_features: int,
    features: int,
    kernel: Size,
    positions: Size,
    *,
    groups: int = 1,
    axes: int | None = None,
) -> int:
    """Returns the multiply-adds of a convolution on one image; biases count nothing.

    Taps that lie on padding count like all others, as everybody counts them.

    Args:
        in_features: Input channels.
        features: Output channels.
        kernel: Kernel size of each axis, or one number for all.
        positions: Spatial shape over which the kernel moves: that of the output, or of
            the input for a transposed convolution.
        groups: As in `conv_params`.
        axes: Number of spatial axes, if both `kernel` and `positions` are one number.

    Raises:
        ValueError: as `conv_params`.

    Example:
        5x5 from 192 to 32 channels on 28x28, direct and through a 1x1 to 16 channels
        (Szegedy et al., "Going deeper with convolutions", CVPR 2015):

        >>> conv_macs(192, 32, (5, 5), (28, 28))
        120422400
        >>> size = (28, 28)
        >>> conv_macs(192, 16, 1, size) + conv_macs(16, 32, 5, size)
        12443648
    """
    check_all_at_least(1, positions=positions)
    axes = known_axes(axes, kernel=kernel, positions=positions)
    weights = conv_params(
        in_features, features, kernel, groups=groups, bias=False, axes=axes
    )
    return weights * math.prod(each_axis(positions, axes))


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


def steps_per_epoch(examples: int, batch_size: int, *, drop_last: bool = True) -> int:
    """Returns the iterations in which every example is seen once.

    Args:
        examples: How many there are.
        batch_size: How many an iteration sees.
        drop_last: Whether the last, incomplete batch is left out.

    Raises:
        ValueError: if there is not even one batch, or a number is below 1.

    Example:
        1,000 cases in batches of 500 are 2 iterations an epoch.

        >>> steps_per_epoch(1000, 500)
        2
        >>> steps_per_epoch(60000, 128), steps_per_epoch(60000, 128, drop_last=False)
        (468, 469)
    """
    check_at_least(1, examples=examples, batch_size=batch_size)
    steps = examples // batch_size if drop_last else -(-examples // batch_size)
    if steps < 1:
        raise ValueError(
            f"{examples} examples fill no batch of {batch_size}: take smaller batches "
            "or drop_last=False."
        )
    return steps
