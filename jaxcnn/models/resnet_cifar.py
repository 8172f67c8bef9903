"""Residual networks for 32x32 images: 20 to 110 layers."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.resnet import BasicBlock
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_SHORTCUTS = {"A": "pad", "B": "projection"}


class CifarResNet(nn.Module):
    """A 3x3 `stem`, three stages `stage1_block1`, ..., and `head`.

    Stages have `width`, twice and four times as many channels; the last two halve the
    image. Images of any size work.

    Attributes:
        blocks_per_stage: n of the paper's 6n + 2 layers.
        shortcut: Where the shape changes, `"A"` (every second pixel, zeros for the new
            channels, half on each side: no parameters) or `"B"` (1x1 convolution and
            norm). The paper's section 4.2 uses A.
        width: Channels of the first stage.
        zero_init: Whether every block starts as the identity; the paper's do not.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    blocks_per_stage: int
    shortcut: str = "A"
    width: int = 16
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 10
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_choice("shortcut", self.shortcut, _SHORTCUTS)
        check_number("blocks_per_stage", self.blocks_per_stage, 1)
        check_number("width", self.width, 1)
        check_number("num_classes", self.num_classes, 0)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "CifarResNet")
        options = {
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        x = nn.relu(ConvNorm(self.width, name="stem", **options)(images, train=train))
        for stage in range(3):
            for number in range(self.blocks_per_stage):
                x = BasicBlock(
                    self.width * 2**stage,
                    stride=2 if stage > 0 and number == 0 else 1,
                    shortcut=_SHORTCUTS[self.shortcut],
                    zero_init=self.zero_init,
                    name=f"stage{stage + 1}_block{number + 1}",
                    **options,
                )(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


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
