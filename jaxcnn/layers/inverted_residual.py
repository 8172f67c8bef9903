"""The block of MobileNet v2 and v3 and of EfficientNet, and how widths are rounded."""

import functools
from typing import Any

from flax import linen as nn

from jaxcnn.layers.activation import Activation
from jaxcnn.layers.checks import check_number
from jaxcnn.layers.conv import ConvNorm, Padding
from jaxcnn.layers.drop import DropPath
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.squeeze_excite import SqueezeExcite
from jaxcnn.typing import Array, Dtype


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to a scaled number of channels.

    It is at least `divisor`, and at least nine tenths of `channels`: one step more is
    taken where rounding down would lose more. The rule is that of the authors' code
    (https://github.com/tensorflow/models, `slim/nets/mobilenet`), not of their papers.

    Example:
        >>> [make_divisible(c) for c in (32 * 1.4, 18.0, 3.0)]
        [48, 24, 8]
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_options(module: Any) -> dict[str, Any]:
    """Returns the fields that a network hands to its blocks, and these to `ConvNorm`.

    Args:
        module: A module that has all of them: `padding`, `epsilon`, `momentum`,
            `kernel_init`, `dtype`, `axis_name`.
    """
    names = ("padding", "epsilon", "momentum", "kernel_init", "dtype", "axis_name")
    return {name: getattr(module, name) for name in names}


class InvertedResidual(nn.Module):
    """1x1 `expand`, `depthwise`, `squeeze_excite`, 1x1 `project`; plus the input.

    The input is added where neither stride nor channels change. Nothing is nonlinear
    behind `project`: the narrow end of the block carries the signal.

    Attributes:
        features: Channels out.
        expanded: Channels of the depthwise convolution; None leaves out `expand`, and
            these are the input's channels.
        kernel_size: Size of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        squeeze: Channels inside `squeeze_excite`; 0 leaves it out.
        activation: Behind `expand` and `depthwise`: a name of
            `jaxcnn.layers.ACTIVATIONS`, or a function.
        squeeze_activation: Inside `squeeze_excite`.
        gate: At the end of `squeeze_excite`.
        drop_path: Share of examples whose branch is dropped in training.
        padding: As in `jaxcnn.layers.conv_padding`.
        epsilon: Added to the variance by every norm.
        momentum: Weight of the old running statistics.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).

    References:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
        2018, section 3.3, https://arxiv.org/abs/1801.04381; with `squeeze_excite`:
        Howard et al., "Searching for MobileNetV3", ICCV 2019, figure 4,
        https://arxiv.org/abs/1905.02244.
    """

    features: int
    expanded: int | None = None
    kernel_size: int = 3
    stride: int = 1
    squeeze: int = 0
    activation: str | Activation = "relu6"
    squeeze_activation: str | Activation = "relu"
    gate: str | Activation = "sigmoid"
    drop_path: float = 0.0
    padding: Padding = "same"
    epsilon: float = 1e-5
    momentum: float = 0.9
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("features", self.features, 1)
        check_number("squeeze", self.squeeze, 0)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv = functools.partial(ConvNorm, **conv_options(self))
        act = {"activation": self.activation}
        y = x
        if self.expanded is not None:
            y = conv(self.expanded, 1, name="expand", **act)(y, train=train)
        y = conv(
            y.shape[-1],
            self.kernel_size,
            self.stride,
            groups=y.shape[-1],
            name="depthwise",
            **act,
        )(y, train=train)
        if self.squeeze:
            y = self._squeeze_excite()(y)
        y = conv(self.features, 1, name="project")(y, train=train)
        if self.stride != 1 or x.shape[-1] != self.features:
            return y
        return x + DropPath(self.drop_path, name="drop_path")(y, train=train)

    def _squeeze_excite(self) -> SqueezeExcite:
        return SqueezeExcite(
            self.squeeze,
            self.squeeze_activation,
            self.gate,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="squeeze_excite",
        )
