"""Pre-activation residual networks, identity mappings: ResNet v2, 18 to 152 layers."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.norm import batch_norm
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.residual import add_shortcut, check_residual, residual_stages
from jaxcnn.ops import global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class PreActBasicBlock(nn.Module):
    """(Norm, ReLU, 3x3) twice, plus a shortcut; nothing behind the sum.

    Attributes:
        features: Channels of both convolutions.
        stride: Stride of the first convolution and of the shortcut.
        dilation: Dilation of the convolutions.
        first_dilation: That of the first convolution; the same by default.
        shortcut: `"projection"` (a 1x1 convolution of the first norm and ReLU's
            output), `"identity"` or `"none"`, as `jaxcnn.models.residual` defines them.
        shortcut_scale: Factor of the shortcut.
        dropout: Share of values dropped before the last convolution.
        drop_path: Share of examples whose branch is dropped in training.
        zero_init: Whether the block starts as its shortcut alone: the kernel of the
            last convolution is zero. Not in a plain network.
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
    dropout: float = 0.0
    drop_path: float = 0.0
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv, norm = _conv_of(self), norm_relu_of(self, train)
        activated = norm("norm1", x)
        dilation = self.first_dilation or self.dilation
        y = conv(self.features, 3, self.stride, dilation=dilation, name="conv1")(
            activated
        )
        y = _drop(self, norm("norm2", y), train)
        y = conv(
            self.features,
            3,
            dilation=self.dilation,
            kernel_init=_last_kernel(self),
            name="conv2",
        )(y)
        return _join(self, x, y, activated, train)


class PreActBottleneck(nn.Module):
    """(Norm, ReLU, convolution) thrice, 1x1, 3x3, 1x1, plus a shortcut.

    Attributes:
        features: Channels of the 3x3.
        stride: Stride of the 3x3 (the paper's own code has it there too).
        dilation: Dilation of the 3x3.
        first_dilation: Used in place of `dilation` if given: there is but one 3x3.
        expansion: Channels out for each of `features`.
        shortcut: `"projection"` (a 1x1 convolution of the first norm and ReLU's
            output), `"identity"` or `"none"`, as `jaxcnn.models.residual` defines them.
        shortcut_scale: Factor of the shortcut.
        dropout: Share of values dropped before the last convolution.
        drop_path: Share of examples whose branch is dropped in training.
        zero_init: Whether the block starts as its shortcut alone: the kernel of the
            last convolution is zero. Not in a plain network.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    dilation: int = 1
    first_dilation: int | None = None
    expansion: int = 4
    shortcut: str = "projection"
    shortcut_scale: float = 1.0
    dropout: float = 0.0
    drop_path: float = 0.0
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features * expansion]`."""
        conv, norm = _conv_of(self), norm_relu_of(self, train)
        activated = norm("norm1", x)
        y = conv(self.features, 1, name="reduce")(activated)
        dilation = self.first_dilation or self.dilation
        y = conv(self.features, 3, self.stride, dilation=dilation, name="conv")(
            norm("norm2", y)
        )
        y = _drop(self, norm("norm3", y), train)
        out = self.features * self.expansion
        y = conv(out, 1, kernel_init=_last_kernel(self), name="expand")(y)
        return _join(self, x, y, activated, train)


class ResNetV2(nn.Module):
    """`stem`, four stages of blocks `stage1_block1`, ..., `norm` and `head`.

    The stem is a 7x7 convolution with stride 2 and a 3x3 max pool with stride 2, no
    norm between; all padding is symmetric. The last block is followed by a norm and a
    ReLU. Images of any size work.

    Attributes:
        stage_sizes: Blocks of each stage; all stages but the first halve the image.
        block: `PreActBasicBlock`, `PreActBottleneck`, or a class called like them.
        width: Channels of the stem and the first stage; each stage doubles them.
        shortcut: `"projection"`, `"identity"` (no parameters), `"none"` (a plain
            network), or a number that the shortcut is multiplied by;
            `jaxcnn.models.residual` has the formulas.
        output_stride: 32, 16 or 8: pixels of the image for each position at the end.
            Where that is reached, convolutions are dilated instead of strided.
        dropout: Share of values dropped before the last convolution of each block.
        drop_path: Share of examples whose branch the last block drops in training; the
            others drop less, linearly.
        zero_init: Whether every block starts as its shortcut alone.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stage_sizes: Sequence[int]
    block: Any
    width: int = 64
    shortcut: str | float = "projection"
    output_stride: int = 32
    dropout: float = 0.0
    drop_path: float = 0.0
    zero_init: bool = False
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 1)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_residual(self, (8, 16, 32))
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "ResNetV2")
        x = _conv_of(self)(self.width, 7, 2, name="stem")(images)
        x = max_pool(x, 3, 2, 1)
        x = residual_stages(self, x, 4, train=train, dropout=self.dropout)
        x = norm_relu_of(self, train)("norm", x)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(ResNetV2)
def _endpoints(model: ResNetV2) -> list[str]:
    """As timm's: the sums themselves, which the next norm and ReLU have yet to see."""
    stages = enumerate(model.stage_sizes, 1)
    return ["stem", *(f"stage{stage}_block{blocks}" for stage, blocks in stages)]


def norm_relu_of(module: Any, train: bool) -> Any:
    """Returns `apply(name, x)`: a BatchNorm of that name, then a ReLU."""

    def apply(name: str, x: Array) -> Array:
        norm = batch_norm(
            use_running_average=not train,
            dtype=module.dtype,
            axis_name=module.axis_name,
            name=name,
        )
        return nn.relu(norm(x))

    return apply


def _conv_of(module: Any) -> functools.partial:
    return functools.partial(
        Conv, use_bias=False, kernel_init=module.kernel_init, dtype=module.dtype
    )


def _drop(block: Any, x: Array, train: bool) -> Array:
    if not block.dropout:
        return x
    return nn.Dropout(block.dropout, deterministic=not train, name="dropout")(x)


def _last_kernel(block: Any) -> Initializer:
    zero = block.zero_init and block.shortcut != "none"
    return jax.nn.initializers.zeros if zero else block.kernel_init


def _join(block: Any, x: Array, y: Array, activated: Array, train: bool) -> Array:
    def project() -> Array:
        conv = _conv_of(block)
        return conv(y.shape[-1], 1, block.stride, name="shortcut")(activated)

    return add_shortcut(block, x, y, project, train=train)


@register_model
def resnet18v2(**kwargs: Any) -> ResNetV2:
    """Pre-activation ResNet-18, 11,687,720 parameters, 1.814 GMACs at 224.

    timm's `resnetv2_18`. The paper has no pre-activation networks this shallow.

    References:
        He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016,
        https://arxiv.org/abs/1603.05027.
    """
    return ResNetV2(stage_sizes=(2, 2, 2, 2), block=PreActBasicBlock, **kwargs)


@register_model
def resnet34v2(**kwargs: Any) -> ResNetV2:
    """Pre-activation ResNet-34, 21,795,880 parameters, 3.664 GMACs at 224.

    timm's `resnetv2_34`.

    References:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027.
    """
    return ResNetV2(stage_sizes=(3, 4, 6, 3), block=PreActBasicBlock, **kwargs)


@register_model
def resnet50v2(**kwargs: Any) -> ResNetV2:
    """Pre-activation ResNet-50, 25,549,352 parameters, 4.089 GMACs at 224.

    timm's `resnetv2_50`: no biases, symmetric padding. Keras's ResNet50V2 has biases,
    and strides at the end of each stage instead of the beginning of the next.

    References:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027.
    """
    return ResNetV2(stage_sizes=(3, 4, 6, 3), block=PreActBottleneck, **kwargs)


@register_model
def resnet101v2(**kwargs: Any) -> ResNetV2:
    """Pre-activation ResNet-101, 44,541,480 parameters, 7.801 GMACs at 224.

    timm's `resnetv2_101`.

    References:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027.
    """
    return ResNetV2(stage_sizes=(3, 4, 23, 3), block=PreActBottleneck, **kwargs)


@register_model
def resnet152v2(**kwargs: Any) -> ResNetV2:
    """Pre-activation ResNet-152, 60,185,128 parameters, 11.514 GMACs at 224.

    timm's `resnetv2_152`.

    References:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027.
    """
    return ResNetV2(stage_sizes=(3, 8, 36, 3), block=PreActBottleneck, **kwargs)
