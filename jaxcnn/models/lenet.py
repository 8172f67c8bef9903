"""LeNet as courses teach it, and LeNet-5."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.activation import Activation, make_activation
from jaxcnn.layers.checks import check_choice, check_images, check_number
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.ops import avg_pool, conv_general_dilated, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class LeNet(nn.Module):
    """Two 5x5 convolutions, each followed by a 2x2 max pool and ReLU, and `head`.

    The pool stands before the ReLU: the result is the same and costs less.

    Attributes:
        kernel_init: A name of `jaxcnn.layers.INITIALIZERS`, or an initialiser.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    kernel_init: str | Initializer = "lecun_normal"
    num_classes: int = 10
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        make_initializer(self.kernel_init)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "LeNet", min_size=16)
        kernel_init = make_initializer(self.kernel_init)
        x = images
        for number, features in enumerate((10, 20), 1):
            x = nn.Conv(
                features,
                (5, 5),
                padding="VALID",
                kernel_init=kernel_init,
                dtype=self.dtype,
                conv_general_dilated=conv_general_dilated,
                name=f"conv{number}",
            )(x)
            x = nn.relu(max_pool(x, 2))
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        if not self.num_classes:
            return x
        return nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(x)


class LeNet5(nn.Module):
    """LeNet-5: convolutions with 6 and 16 channels, dense layers of 120 and 84 units.

    Layers are named `conv1`, `conv2`, `hidden1` (the paper's C5), `hidden2` (F6) and
    `head`.

    Attributes:
        activation: A name of `jaxcnn.layers.ACTIVATIONS`, or a function.
        pool: `"max"` or `"average"`, over 2x2.
        padding: Pixels added on every side; 2 makes 28x28 images 32x32.
        kernel_init: A name of `jaxcnn.layers.INITIALIZERS`, or an initialiser.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    activation: str | Activation = "relu"
    pool: str = "max"
    padding: int = 2
    kernel_init: str | Initializer = "lecun_normal"
    num_classes: int = 10
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_choice("pool", self.pool, ("max", "average"))
        check_number("padding", self.padding, 0)
        check_number("num_classes", self.num_classes, 0)
        make_activation(self.activation)
        make_initializer(self.kernel_init)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "LeNet5", min_size=max(1, 16 - 2 * self.padding))
        activation = make_activation(self.activation)
        pool = max_pool if self.pool == "max" else avg_pool
        kernel_init = make_initializer(self.kernel_init)
        options = {"kernel_init": kernel_init, "dtype": self.dtype}
        x = images
        for number, (features, padding) in enumerate(((6, self.padding), (16, 0)), 1):
            conv = nn.Conv(
                features,
                (5, 5),
                padding=padding,
                conv_general_dilated=conv_general_dilated,
                name=f"conv{number}",
                **options,
            )
            x = pool(activation(conv(x)), 2)
        x = x.reshape(x.shape[0], -1)
        for number, units in enumerate((120, 84), 1):
            x = activation(nn.Dense(units, name=f"hidden{number}", **options)(x))
        x = x.astype(jnp.float32)
        if not self.num_classes:
            return x
        return nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(x)


@register_model
def lenet(**kwargs: Any) -> LeNet:
    """The courses' two-layer CNN: 5x5 convolutions with 10 and 20 channels.

    8,490 parameters and 0.467 MMACs at 28x28x1, where 320 features reach the head. It
    is `cnn(features=(10, 20), kernel_size=5, padding="valid")` under shorter names.
    Kernels start as LeCun normal, Flax's default, biases as zeros;
    `kernel_init="torch"` draws kernels as PyTorch does.

    References:
        Simplified from LeCun et al., "Gradient-Based Learning Applied to Document
        Recognition", Proc. IEEE 86(11), 1998, section II,
        http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf.
    """
    return LeNet(**kwargs)


@register_model
def lenet5(**kwargs: Any) -> LeNet5:
    """LeNet-5 with today's choices, 61,706 parameters and 0.417 MMACs at 28x28x1.

    Images of 28x28 are padded to the paper's 32x32. Today's choices are ReLU, max
    pools without parameters, every map of the second convolution seeing all six of the
    first (table I of the paper leaves some out), and a dense layer in place of the
    radial basis functions. `activation="tanh", pool="average"` is nearer to the paper.
    Kernels start as LeCun normal, Flax's default, biases as zeros.

    References:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition",
        Proc. IEEE 86(11), 1998, section II-B,
        http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf.
    """
    return LeNet5(**kwargs)
