"""Residual networks for ImageNet: ResNet v1.5, 18 to 152 layers."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class BasicBlock(nn.Module):
    """3x3, 3x3, plus a shortcut.

    Attributes:
        features: Channels of both convolutions.
        stride: Stride of the first convolution and of the shortcut.
        shortcut: Where the shape changes, `"projection"` (option B: 1x1 convolution
            and norm) or `"pad"` (option A: every stride-th pixel, zeros for the new
            channels, half of them on each side; no parameters).
        zero_init: Whether the block starts as the identity (Goyal et al., 2017,
            section 5.1, https://arxiv.org/abs/1706.02677).
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    shortcut: str = "projection"
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_choice("shortcut", self.shortcut, ("projection", "pad"))
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv = _conv_of(self)
        y = nn.relu(conv(self.features, 3, self.stride, name="conv1")(x, train=train))
        scale_init = _last_scale(self.zero_init)
        y = conv(self.features, 3, scale_init=scale_init, name="conv2")(y, train=train)
        if x.shape != y.shape and self.shortcut == "pad":
            x = _subsample_and_pad(x, self.stride, self.features)
        elif x.shape != y.shape:
            x = conv(self.features, 1, self.stride, name="shortcut")(x, train=train)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, plus a shortcut (projected if the shape changes).

    Attributes:
        features: Channels of the 3x3.
        stride: Stride of the 3x3 (v1.5; the paper's v1 has it on the first 1x1).
        expansion: Channels out for each of `features`.
        zero_init: Whether the block starts as the identity (Goyal et al., 2017,
            section 5.1, https://arxiv.org/abs/1706.02677).
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    expansion: int = 4
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features * expansion]`."""
        conv = _conv_of(self)
        out = self.features * self.expansion
        y = nn.relu(conv(self.features, 1, name="reduce")(x, train=train))
        y = nn.relu(conv(self.features, 3, self.stride, name="conv")(y, train=train))
        scale_init = _last_scale(self.zero_init)
        y = conv(out, 1, scale_init=scale_init, name="expand")(y, train=train)
        if x.shape != y.shape:
            x = conv(out, 1, self.stride, name="shortcut")(x, train=train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """`stem`, four stages of residual blocks `stage1_block1`, ..., and `head`.

    The stem is a 7x7 convolution with stride 2 and a 3x3 max pool with stride 2; all
    padding is symmetric. Images of any size work.

    Attributes:
        stage_sizes: Blocks of each stage; all stages but the first halve the image.
        block: `BasicBlock`, `Bottleneck`, or a module class called like them.
        width: Channels of the stem and the first stage; each stage doubles them.
        zero_init: Whether every block starts as the identity.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stage_sizes: Sequence[int]
    block: Any
    width: int = 64
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 1)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "ResNet")
        stem = _conv_of(self)(self.width, 7, 2, activation="relu", name="stem")
        x = max_pool(stem(images, train=train), 3, 2, 1)
        for stage, blocks in enumerate(self.stage_sizes):
            for number in range(blocks):
                x = self.block(
                    self.width * 2**stage,
                    stride=2 if stage > 0 and number == 0 else 1,
                    zero_init=self.zero_init,
                    kernel_init=self.kernel_init,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f"stage{stage + 1}_block{number + 1}",
                )(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(ResNet)
def _endpoints(model: ResNet) -> list[str]:
    stages = enumerate(model.stage_sizes, 1)
    return ["stem", *(f"stage{stage}_block{blocks}" for stage, blocks in stages)]


def _conv_of(module: Any) -> functools.partial:
    """Returns `ConvNorm` with the settings that a block or a network passes on."""
    return functools.partial(
        ConvNorm,
        kernel_init=module.kernel_init,
        dtype=module.dtype,
        axis_name=module.axis_name,
    )


def _last_scale(zero_init: bool) -> Initializer:
    return jax.nn.initializers.zeros if zero_init else jax.nn.initializers.ones


def _subsample_and_pad(x: Array, stride: int, features: int) -> Array:
    new = features - x.shape[-1]
    x = x[:, ::stride, ::stride]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(new // 2, new - new // 2)])


@register_model
def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18, 11,689,512 parameters, 1.814 GMACs at 224.

    Kernels start as He normal over the fan out and the last scale of each block as
    zero, as for all of this family.

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1,
        https://arxiv.org/abs/1512.03385.
    """
    return ResNet(stage_sizes=(2, 2, 2, 2), block=BasicBlock, **kwargs)


@register_model
def resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34, 21,797,672 parameters, 3.664 GMACs at 224. As `resnet18`.

    References:
        He et al., CVPR 2016, table 1, https://arxiv.org/abs/1512.03385.
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), block=BasicBlock, **kwargs)


@register_model
def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50 v1.5 (stride on the 3x3), 25,557,032 parameters, 4.089 GMACs at 224.

    References:
        He et al., CVPR 2016, table 1, https://arxiv.org/abs/1512.03385; v1.5 is
        Gross and Wilber, "Training and investigating residual nets", 2016,
        http://torch.ch/blog/2016/02/04/resnets.html.
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), block=Bottleneck, **kwargs)


@register_model
def resnet101(**kwargs: Any) -> ResNet:
    """ResNet-101 v1.5, 44,549,160 parameters, 7.801 GMACs at 224. As `resnet50`.

    References:
        He et al., CVPR 2016, table 1, https://arxiv.org/abs/1512.03385.
    """
    return ResNet(stage_sizes=(3, 4, 23, 3), block=Bottleneck, **kwargs)


@register_model
def resnet152(**kwargs: Any) -> ResNet:
    """ResNet-152 v1.5, 60,192,808 parameters, 11.514 GMACs at 224. As `resnet50`.

    References:
        He et al., CVPR 2016, table 1, https://arxiv.org/abs/1512.03385.
    """
    return ResNet(stage_sizes=(3, 8, 36, 3), block=Bottleneck, **kwargs)
