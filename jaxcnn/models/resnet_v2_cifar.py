"""Pre-activation residual networks for 32x32 images, and wide ones."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.residual import check_residual, residual_stages
from jaxcnn.models.resnet_v2 import (
    PreActBasicBlock,
    PreActBottleneck,
    norm_relu_of,
)
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class CifarResNetV2(nn.Module):
    """A 3x3 `stem`, three stages `stage1_block1`, ..., `norm` and `head`.

    Stages have `width`, twice and four times as many channels; the last two halve the
    image. Images of any size work.

    Attributes:
        blocks_per_stage: n of 6n + 2 layers (9n + 2 with bottlenecks; wide networks
            count their shortcuts: 6n + 4).
        block: `PreActBasicBlock`, `PreActBottleneck`, or a class called like them.
        stem_width: Channels of the stem.
        width: Channels of the first stage: 16 k in a network k times as wide.
        shortcut: `"projection"`, `"identity"` (no parameters), `"none"` (a plain
            network), or a number that the shortcut is multiplied by;
            `jaxcnn.models.residual` has the formulas.
        output_stride: 4, 2 or 1: pixels of the image for each position at the end.
            Where that is reached, convolutions are dilated instead of strided.
        dropout: Share of values dropped before the last convolution of each block
            (Zagoruyko and Komodakis, 2016, section 2.4; they use 0.3 on CIFAR).
        drop_path: Share of examples whose branch the last block drops in training; the
            others drop less, linearly.
        zero_init: Whether every block starts as its shortcut alone.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    blocks_per_stage: int
    block: Any = PreActBasicBlock
    stem_width: int = 16
    width: int = 16
    shortcut: str | float = "projection"
    output_stride: int = 4
    dropout: float = 0.0
    drop_path: float = 0.0
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 10
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("blocks_per_stage", self.blocks_per_stage, 1)
        check_number("stem_width", self.stem_width, 1)
        check_number("width", self.width, 1)
        check_number("num_classes", self.num_classes, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_residual(self, (1, 2, 4))
        super().__post_init__()

    @property
    def stage_sizes(self) -> tuple[int, int, int]:
        """Blocks of each stage."""
        return (self.blocks_per_stage,) * 3

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "CifarResNetV2")
        x = Conv(
            self.stem_width,
            3,
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="stem",
        )(images)
        x = residual_stages(self, x, 1, train=train, dropout=self.dropout)
        x = norm_relu_of(self, train)("norm", x)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(CifarResNetV2)
def _endpoints(model: CifarResNetV2) -> list[str]:
    return [f"stage{stage}_block{model.blocks_per_stage}" for stage in (1, 2, 3)]


@register_model
def preact_resnet20_cifar(**kwargs: Any) -> CifarResNetV2:
    """Pre-activation ResNet-20 for CIFAR, 272,282 parameters, 40.81 MMACs at 32.

    References:
        He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016,
        https://arxiv.org/abs/1603.05027.
    """
    return CifarResNetV2(blocks_per_stage=3, **kwargs)


@register_model
def preact_resnet56_cifar(**kwargs: Any) -> CifarResNetV2:
    """Pre-activation ResNet-56 for CIFAR, 855,578 parameters, 125.75 MMACs at 32.

    References:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027.
    """
    return CifarResNetV2(blocks_per_stage=9, **kwargs)


@register_model
def preact_resnet110_cifar(**kwargs: Any) -> CifarResNetV2:
    """Pre-activation ResNet-110 for CIFAR, 1,730,522 parameters, 253.15 MMACs at 32.

    References:
        He et al., ECCV 2016, table 3, https://arxiv.org/abs/1603.05027.
    """
    return CifarResNetV2(blocks_per_stage=18, **kwargs)


@register_model
def preact_resnet164_cifar(**kwargs: Any) -> CifarResNetV2:
    """Pre-activation ResNet-164 for CIFAR, bottlenecks: 1,703,258 parameters.

    247.65 MMACs at 32. `CifarResNetV2(111, PreActBottleneck)` is the paper's
    ResNet-1001.

    References:
        He et al., ECCV 2016, table 3, https://arxiv.org/abs/1603.05027.
    """
    return CifarResNetV2(blocks_per_stage=18, block=PreActBottleneck, **kwargs)


@register_model
def wide_resnet28_10(**kwargs: Any) -> CifarResNetV2:
    """WRN-28-10 for CIFAR, 36,479,194 parameters, 5.243 GMACs at 32.

    References:
        Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, table 1,
        https://arxiv.org/abs/1605.07146.
    """
    return CifarResNetV2(blocks_per_stage=4, width=160, **kwargs)
