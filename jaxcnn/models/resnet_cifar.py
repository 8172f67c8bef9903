"""Residual networks for 32x32 images: ResNet-20 to 110, ResNeXt-29."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.residual import check_residual, residual_stages
from jaxcnn.models.resnet import (
    BasicBlock,
    Bottleneck,
    check_groups,
    conv_norm_of,
    group_options,
)
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class CifarResNet(nn.Module):
    """A 3x3 `stem`, three stages `stage1_block1`, ..., and `head`.

    Stages have `width`, twice and four times as many channels; the last two halve the
    image. Images of any size work.

    Attributes:
        blocks_per_stage: n of the paper's 6n + 2 layers (9n + 2 with bottlenecks).
        shortcut: Where the shape changes, `"A"` or `"identity"` (every second pixel,
            zeros for the new channels, half on each side: no parameters) or `"B"` or
            `"projection"` (1x1 convolution and norm). The paper's section 4.2 uses A.
            `"none"` is a plain network; a number multiplies A's shortcuts:
            `jaxcnn.models.residual` has the formulas.
        block: `BasicBlock`, `Bottleneck`, or a module class called like them.
        width: Channels of the stem and the first stage.
        groups: Groups of the 3x3 convolutions: ResNeXt; bottlenecks alone.
        width_per_group: Channels of a group for each 64 of the stage; likewise.
        output_stride: 4, 2 or 1: pixels of the image for each position at the end.
            Where that is reached, convolutions are dilated instead of strided.
        drop_path: Share of examples whose branch the last block drops in training; the
            others drop less, linearly.
        zero_init: Whether every block starts as its shortcut alone; the paper's do not.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    blocks_per_stage: int
    shortcut: str | float = "A"
    block: Any = BasicBlock
    width: int = 16
    groups: int = 1
    width_per_group: int = 64
    output_stride: int = 4
    drop_path: float = 0.0
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 10
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("blocks_per_stage", self.blocks_per_stage, 1)
        check_number("width", self.width, 1)
        check_number("num_classes", self.num_classes, 0)
        check_residual(self, (1, 2, 4))
        check_groups(self)
        super().__post_init__()

    @property
    def stage_sizes(self) -> tuple[int, int, int]:
        """Blocks of each stage."""
        return (self.blocks_per_stage,) * 3

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "CifarResNet")
        stem = conv_norm_of(self)(self.width, 3, activation="relu", name="stem")
        x = stem(images, train=train)
        options = group_options(self)
        x = residual_stages(self, x, 1, train=train, default="identity", **options)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(CifarResNet)
def _endpoints(model: CifarResNet) -> list[str]:
    return [f"stage{stage}_block{model.blocks_per_stage}" for stage in (1, 2, 3)]


@register_model
def resnet20_cifar(**kwargs: Any) -> CifarResNet:
    """ResNet-20 for CIFAR, 269,722 parameters, 40.55 MMACs at 32.

    Option A shortcuts, the paper's; `shortcut="B"` has 272,474 parameters. Kernels
    start as He normal over the fan out, as for all of this family.

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section
        4.2, https://arxiv.org/abs/1512.03385.
    """
    return CifarResNet(blocks_per_stage=3, **kwargs)


@register_model
def resnet32_cifar(**kwargs: Any) -> CifarResNet:
    """ResNet-32 for CIFAR, 464,154 parameters, 68.86 MMACs at 32.

    References:
        He et al., CVPR 2016, section 4.2, https://arxiv.org/abs/1512.03385.
    """
    return CifarResNet(blocks_per_stage=5, **kwargs)


@register_model
def resnet44_cifar(**kwargs: Any) -> CifarResNet:
    """ResNet-44 for CIFAR, 658,586 parameters, 97.17 MMACs at 32.

    References:
        He et al., CVPR 2016, section 4.2, https://arxiv.org/abs/1512.03385.
    """
    return CifarResNet(blocks_per_stage=7, **kwargs)


@register_model
def resnet56_cifar(**kwargs: Any) -> CifarResNet:
    """ResNet-56 for CIFAR, 853,018 parameters, 125.49 MMACs at 32.

    Option B shortcuts: 855,770 parameters.

    References:
        He et al., CVPR 2016, section 4.2, https://arxiv.org/abs/1512.03385.
    """
    return CifarResNet(blocks_per_stage=9, **kwargs)


@register_model
def resnet110_cifar(**kwargs: Any) -> CifarResNet:
    """ResNet-110 for CIFAR, 1,727,962 parameters, 252.89 MMACs at 32.

    Option B shortcuts: 1,730,714 parameters.

    References:
        He et al., CVPR 2016, section 4.2, https://arxiv.org/abs/1512.03385.
    """
    return CifarResNet(blocks_per_stage=18, **kwargs)


@register_model
def resnext29_32x4d_cifar(**kwargs: Any) -> CifarResNet:
    """ResNeXt-29 for CIFAR, 32 groups of 4: 4,775,754 parameters, 774.06 MMACs at 32.

    Stages of 256, 512 and 1,024 channels, projected shortcuts. (The paper's own nets
    for CIFAR are 8x64d and 16x64d.)

    References:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks",
        CVPR 2017, section 5.3, https://arxiv.org/abs/1611.05431.
    """
    kwargs.setdefault("shortcut", "B")
    return CifarResNet(
        blocks_per_stage=3,
        block=Bottleneck,
        width=64,
        groups=32,
        width_per_group=4,
        **kwargs,
    )
