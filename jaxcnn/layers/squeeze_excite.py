"""Squeeze-and-excitation: channels weighed by what the whole image holds."""

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.activation import Activation, make_activation
from jaxcnn.layers.checks import check_number
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.typing import Array, Dtype


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate computed from all channels' means.

    The means go through the 1x1 convolutions `reduce` and `expand`, with biases.

    Attributes:
        squeeze: Channels between the two.
        activation: Behind `reduce`: a name of `jaxcnn.layers.ACTIVATIONS`, or a
            function.
        gate: Behind `expand`, with values in [0, 1].
        kernel_init: Initialiser of both kernels.
        dtype: Computation type; parameters stay float32.

    References:
        Hu, Shen and Sun, "Squeeze-and-Excitation Networks", CVPR 2018, section 3,
        https://arxiv.org/abs/1709.01507. `gate="hard_sigmoid"`: Howard et al.,
        "Searching for MobileNetV3", ICCV 2019, section 5.3,
        https://arxiv.org/abs/1905.02244.
    """

    squeeze: int
    activation: str | Activation = "relu"
    gate: str | Activation = "sigmoid"
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("squeeze", self.squeeze, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *spatial, channels]`, the shape that came."""
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        y = jnp.mean(x, axis=tuple(range(1, x.ndim - 1)), keepdims=True)
        y = Conv(self.squeeze, 1, name="reduce", **options)(y)
        y = make_activation(self.activation)(y)
        y = Conv(x.shape[-1], 1, name="expand", **options)(y)
        return x * make_activation(self.gate)(y)
