"""Receptive field and effective stride of a stack of windows."""

import math
from collections.abc import Iterable
from typing import Any

from jaxcnn.arithmetic.axes import check_all_at_least, per_axis
from jaxcnn.arithmetic.sizes import Size

#: Kernel, stride and dilation of one layer of a stack, convolution or pooling.
Window = tuple[Size, Size, Size]


def receptive_field(layers: Iterable[Window]) -> Any:
    r"""Returns how many input pixels one output of a stack of layers sees.

    .. math:: 1 + \sum_l d_l (f_l - 1) \prod_{k < l} s_k

    Args:
        layers: `(kernel, stride, dilation)` of each layer, first layer first; each is
            one number, or one for each axis, and so is the result.

    Raises:
        ValueError: if a number is below 1, or the axes of two layers differ.

    Example:
        LeNet: convolution 5, pooling 2, convolution 5, pooling 2.

        >>> receptive_field([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)])
        16

        Three 3x3 convolutions see what one 7x7 sees, with fewer parameters.

        >>> receptive_field([(3, 1, 1)] * 3)
        7
        >>> receptive_field([((1, 3), 1, 1), (3, (1, 2), 1), ((1, 3), 1, 1)])
        (3, 9)
    """

    def along(**windows: int) -> int:
        field, jump = 1, 1
        for kernel, stride, dilation in zip(*[iter(windows.values())] * 3, strict=True):
            field += dilation * (kernel - 1) * jump
            jump *= stride
        return field

    return per_axis(along, **_named(layers))


def effective_stride(layers: Iterable[Window]) -> Any:
    """Returns the input pixels between two neighbouring outputs of a stack of layers.

    Args:
        layers: As in `receptive_field`.

    Raises:
        ValueError: as `receptive_field`.

    Example:
        >>> effective_stride([(7, 2, 1), (3, 2, 1)])
        4
    """
    return per_axis(
        lambda **windows: math.prod([*windows.values()][1::3]),
        **_named(layers),
    )


def _named(layers: Iterable[Window]) -> dict[str, Size]:
    """Returns kernel, stride and dilation of each layer, named for the messages."""
    named: dict[str, Size] = {}
    for index, (kernel, stride, dilation) in enumerate(layers, 1):
        check_all_at_least(1, kernel=kernel, stride=stride, dilation=dilation)
        numbers = {"kernel": kernel, "stride": stride, "dilation": dilation}
        named |= {f"{name} of layer {index}": n for name, n in numbers.items()}
    return named
