"""A convolution with an activation, for the networks from before normalization."""

from flax import linen as nn

from jaxcnn.layers.activation import Activation, make_activation
from jaxcnn.layers.conv import Conv, Padding, Size
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.typing import Array, Dtype


class ConvAct(nn.Module):
    """A convolution with a bias, `conv`, then the activation.

    The output of the module is what the activation gives; that of `conv` within it is
    what the activation gets.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        padding: As in `conv_padding`; symmetric by default.
        activation: A name of `jaxcnn.layers.ACTIVATIONS`, or a function.
        kernel_init: Initialiser of the kernel; He normal, fan out, by default.
        dtype: Computation type; parameters stay float32.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "same"
    activation: str | Activation = "relu"
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, *spatial, features]` for `[batch, *spatial, channels]`."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.padding,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return make_activation(self.activation)(x)
