"""A layer as numbers alone: what a stack is made of."""

import dataclasses
from collections.abc import Sequence

from jaxcnn.arithmetic.axes import check_at_least, count_axes
from jaxcnn.arithmetic.sizes import Padding, Size


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a stack; made by `conv`, `pool`, `dense` and their like.

    Attributes:
        kind: `"convolution"`, `"transposed convolution"`, `"pooling"`, `"global
            pooling"`, `"norm"`, `"dense"` or `"branches"`.
        features: Channels out; `None` where they stay.
        kernel: One number, or one for each axis, like all that follow.
        stride: Step of the kernel; of a transposed convolution the growth.
        padding: As in `output_size`.
        dilation: Distance between the kernel's taps.
        groups: Groups of channels that do not see each other; 0 for one a channel.
        bias: Whether there is a bias for each output channel.
        ceil_mode: As in `output_size`.
        output_padding: As in `transposed_output_size`.
        stacks: The layers of each branch.
        name: What the table calls it.
    """

    kind: str
    features: int | None = None
    kernel: Size = 1
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: int = 1
    bias: bool = False
    ceil_mode: bool = False
    output_padding: Size = 0
    stacks: tuple[tuple["Layer", ...], ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if self.features is not None:
            check_at_least(1, features=self.features)
        check_at_least(0, groups=self.groups)
        count_axes(
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            output_padding=self.output_padding,
        )


def conv(
    features: int,
    kernel: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    *,
    groups: int = 1,
    bias: bool = True,
    name: str = "",
) -> Layer:
    """Returns a convolution; `groups=0` makes it depthwise, one group a channel.

    Example:
        >>> from jaxcnn.arithmetic import compute_stack
        >>> compute_stack((224, 224, 3), [conv(64, 7, 2, 3)]).shape
        (112, 112, 64)
    """
    return Layer(
        "convolution",
        features,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        bias,
        name=name,
    )


def conv_transpose(
    features: int,
    kernel: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    *,
    output_padding: Size = 0,
    groups: int = 1,
    bias: bool = True,
    name: str = "",
) -> Layer:
    """Returns a transposed convolution, as of `transposed_output_size`.

    Example:
        >>> from jaxcnn.arithmetic import compute_stack
        >>> compute_stack((7, 7, 32), [conv_transpose(16, 4, 2, 1)]).shape
        (14, 14, 16)
    """
    return Layer(
        "transposed convolution",
        features,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        bias,
        output_padding=output_padding,
        name=name,
    )


def pool(
    kernel: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    name: str = "",
) -> Layer:
    """Returns a pooling; its stride is the kernel's size by default.

    Example:
        >>> from jaxcnn.arithmetic import compute_stack
        >>> compute_stack((112, 112, 64), [pool(3, 2, ceil_mode=True)]).shape
        (56, 56, 64)
    """
    stride = kernel if stride is None else stride
    return Layer(
        "pooling", None, kernel, stride, padding, ceil_mode=ceil_mode, name=name
    )


def global_pool(*, name: str = "") -> Layer:
    """Returns the pooling of all positions; only channels are left."""
    return Layer("global pooling", name=name)


def norm(*, name: str = "") -> Layer:
    """Returns a normalization with a scale and a bias for each channel."""
    return Layer("norm", name=name)


def dense(features: int, *, bias: bool = True, name: str = "") -> Layer:
    """Returns a dense layer over all that comes in, flattened.

    Example:
        >>> from jaxcnn.arithmetic import compute_stack
        >>> compute_stack((4, 4, 20), [dense(10)]).params
        3210
    """
    return Layer("dense", features, bias=bias, name=name)


def branches(*stacks: Sequence[Layer], name: str = "") -> Layer:
    """Returns stacks side by side over one input, their channels concatenated.

    Raises:
        ValueError: if there are fewer than two.

    Example:
        Inception-A of a small network: 16 + 24 + 24 + 24 = 88 channels.

        >>> from jaxcnn.arithmetic import compute_stack
        >>> block = branches(
        ...     [conv(16, 1)],
        ...     [conv(16, 1), conv(24, 5, padding="same")],
        ...     [conv(16, 1), conv(24, 3, padding=1), conv(24, 3, padding=1)],
        ...     [pool(3, 1, "same"), conv(24, 1)],
        ... )
        >>> compute_stack((12, 12, 10), [block]).shape
        (12, 12, 88)
    """
    if len(stacks) < 2:
        raise ValueError(f"branches needs two stacks or more, got {len(stacks)}.")
    return Layer("branches", stacks=tuple(map(tuple, stacks)), name=name)
