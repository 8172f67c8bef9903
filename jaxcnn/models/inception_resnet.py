"""Inception-ResNet-v2: Inception modules whose outputs are scaled and added."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.branches import (
    Branch,
    Branches,
    Unit,
    check_width,
    make_unit,
    run_branches,
)
from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.inception_v3 import inception_stem
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_MIXED_5B = (
    ("branch1x1", Unit(96)),
    ("branch5x5", Unit(48), Unit(64, 5)),
    ("branch3x3dbl", Unit(64), Unit(96, 3), Unit(96, 3)),
    ("branch_pool", "avg_inside", Unit(64)),
)

#: Figure 16 of the paper, 35x35 at 299; modules are named after these sizes.
_BLOCK35 = (
    ("branch1x1", Unit(32)),
    ("branch3x3", Unit(32), Unit(32, 3)),
    ("branch3x3dbl", Unit(32), Unit(48, 3), Unit(64, 3)),
)

#: Figure 7, with the numbers of table 1.
_MIXED_6A = (
    ("branch3x3", Unit(384, 3, 2, "valid")),
    ("branch3x3dbl", Unit(256), Unit(256, 3), Unit(384, 3, 2, "valid")),
    ("branch_pool", "halve"),
)

#: Figure 17.
_BLOCK17 = (
    ("branch1x1", Unit(192)),
    ("branch7x7", Unit(128), Unit(160, (1, 7)), Unit(192, (7, 1))),
)

#: Figure 18.
_MIXED_7A = (
    ("branch3x3a", Unit(256), Unit(384, 3, 2, "valid")),
    ("branch3x3b", Unit(256), Unit(288, 3, 2, "valid")),
    ("branch3x3dbl", Unit(256), Unit(288, 3), Unit(320, 3, 2, "valid")),
    ("branch_pool", "halve"),
)

#: Figure 19.
_BLOCK8 = (
    ("branch1x1", Unit(192)),
    ("branch3x3", Unit(192), Unit(224, (1, 3)), Unit(256, (3, 1))),
)


class InceptionResidual(nn.Module):
    """Branches, a 1x1 convolution `expand` with a bias; scaled, added to the input.

    Attributes:
        branches: As in `jaxcnn.layers.Branches`.
        scale: Multiplies what is added (0.1 to 0.3 keep the training stable: section
            3.3).
        activation: Whether ReLU follows.
        width: Multiplies the channels of the branches.
        epsilon: Added to the variance by the norms.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    branches: Sequence[Branch]
    scale: float
    activation: bool = True
    width: float = 1.0
    epsilon: float = 1e-3
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns what it gets, changed: `[batch, height, width, channels]`."""
        y = run_branches(x, self.branches, make_unit(self, train=train))
        expand = Conv(
            x.shape[-1],
            1,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="expand",
        )
        x = x + self.scale * expand(y)
        return nn.relu(x) if self.activation else x


class InceptionResNetV2(nn.Module):
    """Inception-v3's first convolutions, residual Inception blocks, and `head`.

    In turn `conv_1a` to `conv_4a`, `mixed_5b`, `block35_1` to `block35_10`, `mixed_6a`,
    `block17_1` to `block17_20`, `mixed_7a`, `block8_1` to `block8_10`, `conv_7b`.
    Blocks add 0.17, 0.1 and 0.2 of what they compute; the last adds all of it, without
    a ReLU. The smallest image is 75x75.

    Attributes:
        blocks: How many blocks there are of each of the three kinds.
        width: Multiplies the channels of all layers.
        dropout: Share of the features dropped before the head, in training.
        kernel_init: Initialiser of the convolutions.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    blocks: Sequence[int] = (10, 20, 10)
    width: float = 1.0
    dropout: float = 0.2
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    #: Of all norms, as in all implementations.
    epsilon = 1e-3

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_width(self.width)
        check_numbers("blocks", self.blocks, 1)
        if len(self.blocks) != 3:
            raise ValueError(f"blocks needs three numbers, got {self.blocks!r}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "InceptionResNetV2", 75)
        settings = {
            "width": self.width,
            "epsilon": self.epsilon,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        unit = make_unit(self, train=train)

        def residuals(x: Array, name: str, count: int, *args: Any) -> Array:
            for number in range(1, count + 1):
                block = InceptionResidual(*args, name=f"{name}_{number}", **settings)
                x = block(x, train=train)
            return x

        def mixed(x: Array, name: str, branches: Sequence[Branch]) -> Array:
            return Branches(branches, name=name, **settings)(x, train=train)

        first, second, third = self.blocks
        x = mixed(inception_stem(images, unit), "mixed_5b", _MIXED_5B)
        x = residuals(x, "block35", first, _BLOCK35, 0.17)
        x = mixed(x, "mixed_6a", _MIXED_6A)
        x = residuals(x, "block17", second, _BLOCK17, 0.1)
        x = mixed(x, "mixed_7a", _MIXED_7A)
        x = residuals(x, "block8", third - 1, _BLOCK8, 0.2)
        name = f"block8_{third}"
        x = InceptionResidual(_BLOCK8, 1.0, activation=False, name=name, **settings)(
            x, train=train
        )
        x = unit(x, Unit(1536), "conv_7b")
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(InceptionResNetV2)
def _endpoints(model: InceptionResNetV2) -> list[str]:
    first, second, _ = model.blocks
    blocks = [f"block35_{first}", f"block17_{second}"]
    return ["conv_2b", "conv_4a", *blocks, "conv_7b"]


@register_model
def inception_resnet_v2(**kwargs: Any) -> InceptionResNetV2:
    """Inception-ResNet-v2, 55,843,464 parameters, 13.156 GMACs at 299.

    References:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual
        Connections on Learning", AAAI 2017, figure 15, https://arxiv.org/abs/1602.07261.
    """
    return InceptionResNetV2(**kwargs)
