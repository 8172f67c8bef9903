"""ShuffleNet v1: grouped 1x1 convolutions whose groups are mixed by a shuffle."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import avg_pool, channel_shuffle, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

#: Channels of the first stage by groups (table 1 of the paper, stage 2): more groups
#: allow more channels for the same multiply-adds.
_FEATURES = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


class ShuffleUnit(nn.Module):
    """Grouped 1x1 `reduce`, shuffle, `depthwise` 3x3, grouped 1x1 `expand`; shortcut.

    At stride 1 the input is added. At stride 2 its average pool, 3x3, is concatenated
    in front, and `expand` gives only the channels that are missing. Pooling counts its
    padding as zeros; the paper does not say.

    Attributes:
        features: Channels out; a quarter of them between the 1x1 convolutions.
        groups: Groups of the 1x1 convolutions.
        stride: 1 or 2.
        grouped_reduce: Whether `reduce` is grouped. It is not where there are as few
            channels as in front of the first stage (section 3.2).
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).

    References:
        Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network
        for Mobile Devices", CVPR 2018, figure 2, https://arxiv.org/abs/1707.01083.
    """

    features: int
    groups: int
    stride: int = 1
    grouped_reduce: bool = True
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_choice("stride", self.stride, (1, 2))
        if self.features % (4 * self.groups):
            raise ValueError(
                f"features={self.features} must be a multiple of 4 * groups = "
                f"{4 * self.groups}: a quarter of them is split into the groups."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv = functools.partial(
            ConvNorm,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        inner = self.features // 4
        groups = self.groups if self.grouped_reduce else 1
        reduce = conv(inner, 1, groups=groups, activation="relu", name="reduce")
        y = channel_shuffle(reduce(x, train=train), self.groups)
        depthwise = conv(inner, 3, self.stride, groups=inner, name="depthwise")
        y = depthwise(y, train=train)
        missing = self.features - (x.shape[-1] if self.stride == 2 else 0)
        y = conv(missing, 1, groups=self.groups, name="expand")(y, train=train)
        if self.stride == 1:
            return nn.relu(x + y)
        return nn.relu(jnp.concatenate([avg_pool(x, 3, 2, 1), y], axis=-1))


class ShuffleNetV1(nn.Module):
    """A 3x3 `stem`, a max pool, three stages `stage1_block1`, ..., and `head`.

    These are the paper's stages 2 to 4. Each halves the image and doubles the channels.

    Attributes:
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        width: Factor of all channels: the s of the paper's ShuffleNet s x.
        stage_sizes: Units of each stage.
        stem_features: Channels of the stem, before `width`.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    groups: int = 3
    width: float = 1.0
    stage_sizes: Sequence[int] = (4, 8, 4)
    stem_features: int = 24
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_choice("groups", self.groups, _FEATURES)
        check_number("width", self.width, 0.01, whole=False)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        _check_groups(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "ShuffleNetV1")
        options = {
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        width, features = _widths(self)
        stem = ConvNorm(width, 3, 2, activation="relu", name="stem", **options)
        x = max_pool(stem(images, train=train), 3, 2, 1)
        for stage, units in enumerate(self.stage_sizes):
            for number in range(units):
                x = ShuffleUnit(
                    features * 2**stage,
                    self.groups,
                    stride=2 if number == 0 else 1,
                    grouped_reduce=(stage, number) != (0, 0),
                    name=f"stage{stage + 1}_block{number + 1}",
                    **options,
                )(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def _widths(model: ShuffleNetV1) -> tuple[int, int]:
    """Returns the channels of the stem and of the first stage."""
    features = _FEATURES[model.groups] * model.width
    return max(1, round(model.stem_features * model.width)), round(features)


def _check_groups(model: ShuffleNetV1) -> None:
    stem, features = _widths(model)
    if features % (4 * model.groups) or (features - stem) % model.groups:
        raise ValueError(
            f"groups={model.groups} and width={model.width} do not go together: the "
            f"first stage's {features} channels must be a multiple of 4 * groups, "
            f"and without the stem's {stem} a multiple of groups. Try another "
            "width or stem_features."
        )


@endpoints_of(ShuffleNetV1)
def _endpoints(model: ShuffleNetV1) -> list[str]:
    stages = enumerate(model.stage_sizes, 1)
    return ["stem", *(f"stage{stage}_block{units}" for stage, units in stages)]


@register_model
def shufflenet_v1(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1, `groups` 3 by default: 1,865,728 parameters, 137.46 MMACs at 224.

    References:
        Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network
        for Mobile Devices", CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(**kwargs)


@register_model
def shufflenet_v1_g1(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1 with groups of 1, 1,531,936 parameters, 143.08 MMACs at 224.

    References:
        Zhang et al., CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(groups=1, **kwargs)


@register_model
def shufflenet_v1_g2(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1 with groups of 2, 1,733,848 parameters, 140.84 MMACs at 224.

    References:
        Zhang et al., CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(groups=2, **kwargs)


@register_model
def shufflenet_v1_g3(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1 with groups of 3, 1,865,728 parameters, 137.46 MMACs at 224.

    References:
        Zhang et al., CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(groups=3, **kwargs)


@register_model
def shufflenet_v1_g4(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1 with groups of 4, 1,968,344 parameters, 134.34 MMACs at 224.

    References:
        Zhang et al., CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(groups=4, **kwargs)


@register_model
def shufflenet_v1_g8(**kwargs: Any) -> ShuffleNetV1:
    """ShuffleNet v1 with groups of 8, 2,434,768 parameters, 138.37 MMACs at 224.

    References:
        Zhang et al., CVPR 2018, table 1, https://arxiv.org/abs/1707.01083.
    """
    return ShuffleNetV1(groups=8, **kwargs)
