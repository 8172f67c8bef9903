"""Sizes: of an output, of a transposed output, and the padding that keeps a size."""

from collections.abc import Sequence
from typing import Any

from jaxcnn.arithmetic.axes import check_at_least, per_axis

#: One number, or one for each axis.
Size = int | Sequence[int]
#: Also `"same"`, `"valid"` or `"tensorflow"`; or (low, high) pairs, one an axis.
Padding = str | int | Sequence[int | tuple[int, int]]

_WORDS = ("same", "valid", "tensorflow")


def output_size(
    size: Size,
    kernel: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    *,
    ceil_mode: bool = False,
) -> Any:
    r"""Returns the size after a convolution or a pooling.

    .. math:: \lfloor (n + 2p - d(f - 1) - 1) / s \rfloor + 1

    Each argument is one number, or one for each axis; so is the result.

    Args:
        size: Input size :math:`n` in pixels.
        kernel: Kernel size :math:`f`.
        stride: Step :math:`s` between two windows.
        padding: Pixels :math:`p` added on each side; a (low, high) pair for each axis
            where the sides differ; `"same"`, as `same_padding` has it, whatever the
            stride; `"valid"` for none; `"tensorflow"` for what gives
            :math:`\lceil n / s \rceil`.
        dilation: Distance :math:`d` between two taps of the kernel.
        ceil_mode: Whether a last, incomplete window counts, as long as it does not
            begin in the padding: PyTorch's and Caffe's pools of this name.

    Raises:
        ValueError: if an argument is too small, the kernel exceeds the padded input, or
            `"same"` is asked of a kernel that spans an even number of pixels.

    Example:
        >>> output_size(6, 3), output_size(6, 3, stride=2), output_size(6, 3, padding=1)
        (4, 2, 6)
        >>> output_size((28, 30), 5), output_size(16, (1, 3, 3), stride=(1, 2, 2))
        ((24, 26), (16, 7, 7))

        28x28 through (convolution 5, pooling 2) twice, 20 channels: 320 features.

        >>> side = 28
        >>> for _ in range(2):
        ...     side = output_size(output_size(side, 5), 2, stride=2)
        >>> side * side * 20
        320
    """

    def along(size: int, kernel: int, stride: int, padding: Any, dilation: int) -> int:
        low, high = sides(padding, size, kernel, stride, dilation)
        span = dilation * (kernel - 1) + 1
        if span > size + low + high:
            given = f"{low} on each side" if low == high else f"{low} and {high}"
            needs = "size + 2 * padding" if low == high else "size + low + high"
            raise ValueError(
                f"A kernel that spans {span} does not fit an input of {size} with "
                f"padding {given}: it needs {needs} >= {span}."
            )
        room = size + low + high - span
        if not ceil_mode:
            return room // stride + 1
        windows = -(-room // stride) + 1
        return windows - ((windows - 1) * stride >= size + low)

    return per_axis(
        along,
        size=size,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def same_padding(kernel: Size, dilation: Size = 1) -> Any:
    """Returns the padding on each side that keeps the size at stride 1: (f - 1) / 2.

    Raises:
        ValueError: if the kernel spans an even number of pixels: no equal padding on
            both sides keeps the size then.

    Example:
        >>> same_padding(3), same_padding(5), same_padding(3, dilation=2)
        (1, 2, 2)
        >>> same_padding((3, 5, 7))
        (1, 2, 3)
        >>> same_padding(4)
        Traceback (most recent call last):
        ...
        ValueError: 'Same' padding needs a kernel that spans an odd number of pixels,
        got kernel 4 with dilation 1, which spans 4.
    """

    def along(kernel: int, dilation: int) -> int:
        check_at_least(1, kernel=kernel, dilation=dilation)
        reach = dilation * (kernel - 1)
        if reach % 2:
            raise ValueError(
                f"'Same' padding needs a kernel that spans an odd number of pixels, "
                f"got kernel {kernel} with dilation {dilation}, which spans "
                f"{reach + 1}."
            )
        return reach // 2

    return per_axis(along, kernel=kernel, dilation=dilation)


def transposed_output_size(
    size: Size,
    kernel: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    output_padding: Size = 0,
) -> Any:
    r"""Returns the size after a transposed convolution.

    .. math:: (n - 1)s - 2p + d(f - 1) + 1 + \text{output padding}

    Args:
        size: Input size :math:`n`; like all that follows one number, or one for each
            axis.
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
        >>> transposed_output_size((7, 9), 3, 2, 1, output_padding=(0, 1))
        (13, 18)
    """

    def along(
        size: int,
        kernel: int,
        stride: int,
        padding: Any,
        dilation: int,
        output_padding: int,
    ) -> int:
        check_at_least(0, output_padding=output_padding)
        if padding == "tensorflow":
            raise ValueError(
                "padding='tensorflow' depends on the size that is to come out: give "
                "transposed_output_size a number, pairs, 'same' or 'valid'."
            )
        low, high = sides(padding, size, kernel, stride, dilation)
        reach = dilation * (kernel - 1)
        result = (size - 1) * stride - low - high + reach + 1 + output_padding
        if result < 1:
            raise ValueError(
                f"A padding of {padding} leaves nothing of a transposed convolution of "
                f"size {size} with kernel {kernel} and stride {stride}."
            )
        return result

    return per_axis(
        along,
        size=size,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=output_padding,
    )


def sides(
    padding: Any, size: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int]:
    """Returns the padding before and after one axis.

    Raises:
        ValueError: if an argument is too small, or `padding` is an unknown word.
    """
    check_at_least(1, size=size, kernel=kernel, stride=stride, dilation=dilation)
    if isinstance(padding, Sequence) and not isinstance(padding, str):
        if len(padding) != 2:
            raise ValueError(f"padding of an axis is (low, high), got {padding!r}.")
        check_at_least(0, padding=min(padding))
        return padding[0], padding[1]
    if not isinstance(padding, str):
        check_at_least(0, padding=padding)
        return padding, padding
    word = padding.lower()
    if word not in _WORDS:
        raise ValueError(
            f"padding must be a number, pairs or one of {', '.join(_WORDS)}, got "
            f"{padding!r}."
        )
    if word == "tensorflow":
        reach = dilation * (kernel - 1) + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
    both = 0 if word == "valid" else same_padding(kernel, dilation)
    return both, both
