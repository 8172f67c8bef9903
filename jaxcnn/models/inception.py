"""A small Inception network for 28x28 images."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.inception import InceptionA
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.ops import conv_general_dilated, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class InceptionSmall(nn.Module):
    """Twice a 5x5 convolution, a 2x2 max pool, ReLU and an Inception-A block; `head`.

    Layers are named `conv1`, `inception1`, `conv2`, `inception2` and `head`.

    Attributes:
        features: Channels of the two convolutions.
        branch1x1: As in `InceptionA`, for both blocks, like the next three.
        branch5x5: Channels of the 1x1 and of the 5x5.
        branch3x3: Channels of the 1x1, the first and the second 3x3.
        branch_pool: Channels of the 1x1 behind the pool.
        kernel_init: A name of `jaxcnn.layers.INITIALIZERS`, or an initialiser.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    features: Sequence[int] = (10, 20)
    branch1x1: int = 16
    branch5x5: Sequence[int] = (16, 24)
    branch3x3: Sequence[int] = (16, 24, 24)
    branch_pool: int = 24
    kernel_init: str | Initializer = "lecun_normal"
    num_classes: int = 10
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_numbers("features", self.features, 1)
        check_number("num_classes", self.num_classes, 0)
        make_initializer(self.kernel_init)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        shortest = 1
        for _ in self.features:
            shortest = 2 * shortest + 4
        check_images(images, "InceptionSmall", shortest)
        kernel_init = make_initializer(self.kernel_init)
        options = {"kernel_init": kernel_init, "dtype": self.dtype}
        x = images
        for number, features in enumerate(self.features, 1):
            name = f"conv{number}"
            x = nn.Conv(
                features,
                (5, 5),
                padding="VALID",
                conv_general_dilated=conv_general_dilated,
                name=name,
                **options,
            )(x)
            x = nn.relu(max_pool(x, 2))
            x = InceptionA(
                self.branch1x1,
                self.branch5x5,
                self.branch3x3,
                self.branch_pool,
                name=f"inception{number}",
                **options,
            )(x, train=train)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        if not self.num_classes:
            return x
        return nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(x)


@register_model
def inception_small(**kwargs: Any) -> InceptionSmall:
    """The courses' LeNet with two Inception-A blocks of 88 channels.

    97,298 parameters and 6.02 MMACs at 28x28x1, where 1,408 features reach the head.
    Kernels start as LeCun normal, Flax's default, biases as zeros;
    `kernel_init="torch"` draws kernels as PyTorch does.

    References:
        The block is from Szegedy et al., "Rethinking the Inception Architecture for
        Computer Vision", CVPR 2016, figure 5, https://arxiv.org/abs/1512.00567.
    """
    return InceptionSmall(**kwargs)
