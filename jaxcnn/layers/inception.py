"""The Inception-A block, with open widths."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.conv import conv_padding
from jaxcnn.layers.initializers import Initializer
from jaxcnn.ops import avg_pool, conv_general_dilated
from jaxcnn.typing import Array, Dtype


class InceptionA(nn.Module):
    """Four branches side by side over one input, concatenated along the channels.

    A 1x1 convolution; a 1x1, then a 5x5; a 1x1, then two 3x3; a 3x3 average pool with
    stride 1 (padded zeros count), then a 1x1. Convolutions have biases and keep the
    image's size; there is neither normalisation nor activation inside the block. The
    default widths give 16 + 24 + 24 + 24 = 88 channels.

    The block is Inception-v3's first one (Szegedy et al., "Rethinking the Inception
    Architecture", CVPR 2016, figure 5, https://arxiv.org/abs/1512.00567) made small.

    Attributes:
        branch1x1: Channels of the 1x1 branch.
        branch5x5: Channels of the 1x1 and of the 5x5.
        branch3x3: Channels of the 1x1, the first and the second 3x3.
        branch_pool: Channels of the 1x1 behind the pool.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters stay float32.
    """

    branch1x1: int = 16
    branch5x5: Sequence[int] = (16, 24)
    branch3x3: Sequence[int] = (16, 24, 24)
    branch_pool: int = 24
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        for name, count in (("branch5x5", 2), ("branch3x3", 3)):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"{name} needs the channels of {count} convolutions, "
                    f"got {getattr(self, name)!r}."
                )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height, width, channels]`. `train` makes no difference."""
        options = {
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "conv_general_dilated": conv_general_dilated,
        }

        def conv(features: int, size: int, name: str) -> nn.Conv:
            kernel = (size, size)
            padding = conv_padding("same", kernel)
            return nn.Conv(features, kernel, padding=padding, name=name, **options)

        one = conv(self.branch1x1, 1, "branch1x1")(x)
        five = conv(self.branch5x5[0], 1, "branch5x5_1")(x)
        five = conv(self.branch5x5[1], 5, "branch5x5_2")(five)
        three = conv(self.branch3x3[0], 1, "branch3x3_1")(x)
        three = conv(self.branch3x3[1], 3, "branch3x3_2")(three)
        three = conv(self.branch3x3[2], 3, "branch3x3_3")(three)
        pooled = conv(self.branch_pool, 1, "branch_pool")(avg_pool(x, 3, 1, 1))
        return jnp.concatenate([one, five, three, pooled], axis=-1)
