"""Residual networks for ImageNet: ResNet v1.5, ResNeXt and wide ones."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.residual import add_shortcut, check_residual, residual_stages
from jaxcnn.ops import global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class BasicBlock(nn.Module):
    """3x3, 3x3, plus a shortcut.

    Attributes:
        features: Channels of both convolutions.
        stride: Stride of the first convolution and of the shortcut.
        dilation: Dilation of the convolutions.
        first_dilation: That of the first convolution; the same by default.
        shortcut: `"projection"`, `"identity"` or `"none"`, as `jaxcnn.models.residual`
            defines them.
        shortcut_scale: Factor of the shortcut.
        drop_path: Share of examples whose branch is dropped in training.
        zero_init: Whether the block starts as its shortcut alone: the last scale is
            zero (Goyal et al., 2017, section 5.1, https://arxiv.org/abs/1706.02677).
            Not in a plain network, through which no gradient would flow then.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    dilation: int = 1
    first_dilation: int | None = None
    shortcut: str = "projection"
    shortcut_scale: float = 1.0
    drop_path: float = 0.0
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv = conv_norm_of(self)
        y = conv(
            self.features,
            3,
            self.stride,
            dilation=self.first_dilation or self.dilation,
            activation="relu",
            name="conv1",
        )(x, train=train)
        y = conv(
            self.features,
            3,
            dilation=self.dilation,
            scale_init=_last_scale(self),
            name="conv2",
        )(y, train=train)
        return _join(self, x, y, train)


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, plus a shortcut.

    With groups it is the block of ResNeXt; with a `width_per_group` above 64 it is a
    wide one: the 3x3 has `features * width_per_group / 64 * groups` channels.

    Attributes:
        features: Channels of the 3x3, unless it has groups or is wide.
        stride: Stride of the 3x3 (v1.5; the paper's v1 has it on the first 1x1).
        dilation: Dilation of the 3x3.
        first_dilation: Used in place of `dilation` if given: there is but one 3x3.
        expansion: Channels out for each of `features`.
        groups: Groups of the 3x3, which ResNeXt calls cardinality.
        width_per_group: Channels of each group where `features` is 64.
        shortcut: `"projection"`, `"identity"` or `"none"`, as `jaxcnn.models.residual`
            defines them.
        shortcut_scale: Factor of the shortcut.
        drop_path: Share of examples whose branch is dropped in training.
        zero_init: Whether the block starts as its shortcut alone: the last scale is
            zero (Goyal et al., 2017, section 5.1, https://arxiv.org/abs/1706.02677).
            Not in a plain network, through which no gradient would flow then.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    dilation: int = 1
    first_dilation: int | None = None
    expansion: int = 4
    groups: int = 1
    width_per_group: int = 64
    shortcut: str = "projection"
    shortcut_scale: float = 1.0
    drop_path: float = 0.0
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features * expansion]`."""
        conv = conv_norm_of(self)
        inner = self.features * self.width_per_group // 64 * self.groups
        y = conv(inner, 1, activation="relu", name="reduce")(x, train=train)
        y = conv(
            inner,
            3,
            self.stride,
            groups=self.groups,
            dilation=self.first_dilation or self.dilation,
            activation="relu",
            name="conv",
        )(y, train=train)
        y = conv(
            self.features * self.expansion,
            1,
            scale_init=_last_scale(self),
            name="expand",
        )(y, train=train)
        return _join(self, x, y, train)


class ResNet(nn.Module):
    """`stem`, four stages of residual blocks `stage1_block1`, ..., and `head`.

    The stem is a 7x7 convolution with stride 2 and a 3x3 max pool with stride 2; all
    padding is symmetric. Images of any size work.

    Attributes:
        stage_sizes: Blocks of each stage; all stages but the first halve the image.
        block: `BasicBlock`, `Bottleneck`, or a module class called like them.
        width: Channels of the stem and the first stage; each stage doubles them.
        groups: Groups of the blocks' 3x3 convolutions: ResNeXt. Bottlenecks alone.
        width_per_group: Channels of a group for each 64 of the stage: ResNeXt, and wide
            networks with one group. Bottlenecks alone.
        shortcut: `"projection"`, `"identity"` (no parameters), `"none"` (a plain
            network), or a number that the shortcut is multiplied by;
            `jaxcnn.models.residual` has the formulas.
        output_stride: 32, 16 or 8: pixels of the image for each position at the end.
            Where that is reached, convolutions are dilated instead of strided.
        drop_path: Share of examples whose branch the last block drops in training; the
            others drop less, linearly (`jaxcnn.models.residual` says how).
        zero_init: Whether every block starts as its shortcut alone.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stage_sizes: Sequence[int]
    block: Any
    width: int = 64
    groups: int = 1
    width_per_group: int = 64
    shortcut: str | float = "projection"
    output_stride: int = 32
    drop_path: float = 0.0
    zero_init: bool = True
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 1)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        check_residual(self, (8, 16, 32))
        check_groups(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "ResNet")
        stem = conv_norm_of(self)(self.width, 7, 2, activation="relu", name="stem")
        x = max_pool(stem(images, train=train), 3, 2, 1)
        x = residual_stages(self, x, 4, train=train, **group_options(self))
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(ResNet)
def _endpoints(model: ResNet) -> list[str]:
    stages = enumerate(model.stage_sizes, 1)
    return ["stem", *(f"stage{stage}_block{blocks}" for stage, blocks in stages)]


def check_groups(model: Any) -> None:
    """Raises unless the model's blocks can have its groups.

    Raises:
        ValueError: for basic blocks with groups or of another width. Two grouped layers
            in a row are but one wide sparse layer (Xie et al., 2017, section 3.3).
    """
    check_number("groups", model.groups, 1)
    check_number("width_per_group", model.width_per_group, 1)
    if model.block is BasicBlock and group_options(model):
        raise ValueError(
            "BasicBlock takes groups=1 and width_per_group=64 alone, got "
            f"groups={model.groups} and width_per_group={model.width_per_group}; "
            "Bottleneck takes others."
        )


def group_options(model: Any) -> dict[str, int]:
    """Returns the groups and widths that the blocks are given, if the model has any."""
    if (model.groups, model.width_per_group) == (1, 64):
        return {}
    return {"groups": model.groups, "width_per_group": model.width_per_group}


def conv_norm_of(module: Any) -> functools.partial:
    """Returns `ConvNorm` with the settings that a block or a network passes on."""
    return functools.partial(
        ConvNorm,
        kernel_init=module.kernel_init,
        dtype=module.dtype,
        axis_name=module.axis_name,
    )


def _last_scale(block: Any) -> Initializer:
    zero = block.zero_init and block.shortcut != "none"
    return jax.nn.initializers.zeros if zero else jax.nn.initializers.ones


def _join(block: Any, x: Array, y: Array, train: bool) -> Array:
    """Returns the block's output for its input and what its branch made of it."""

    def project() -> Array:
        conv = conv_norm_of(block)
        return conv(y.shape[-1], 1, block.stride, name="shortcut")(x, train=train)

    return nn.relu(add_shortcut(block, x, y, project, train=train))


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


@register_model
def resnext50_32x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-50, 32 groups of 4: 25,028,904 parameters, 4.230 GMACs at 224.

    References:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks",
        CVPR 2017, table 1, https://arxiv.org/abs/1611.05431.
    """
    return ResNet(
        stage_sizes=(3, 4, 6, 3),
        block=Bottleneck,
        groups=32,
        width_per_group=4,
        **kwargs,
    )


@register_model
def resnext101_32x8d(**kwargs: Any) -> ResNet:
    """ResNeXt-101, 32 groups of 8: 88,791,336 parameters, 16.414 GMACs at 224.

    References:
        Xie et al., CVPR 2017, https://arxiv.org/abs/1611.05431.
    """
    return ResNet(
        stage_sizes=(3, 4, 23, 3),
        block=Bottleneck,
        groups=32,
        width_per_group=8,
        **kwargs,
    )


@register_model
def wide_resnet50_2(**kwargs: Any) -> ResNet:
    """ResNet-50 with 3x3s twice as wide: 68,883,240 parameters, 11.398 GMACs at 224.

    References:
        Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, section 3,
        https://arxiv.org/abs/1605.07146.
    """
    return ResNet(
        stage_sizes=(3, 4, 6, 3), block=Bottleneck, width_per_group=128, **kwargs
    )
