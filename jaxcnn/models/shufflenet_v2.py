"""ShuffleNet v2: half of the channels pass a block unchanged, then all are shuffled."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import channel_shuffle, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class SplitUnit(nn.Module):
    """1x1 `reduce`, `depthwise` 3x3 and 1x1 `expand` beside a shortcut, then a shuffle.

    At stride 1 the branch sees the second half of the channels and the first half
    passes. At stride 2 both see all of them, and the shortcut is `shortcut_depthwise`
    and a 1x1 `shortcut_pointwise`.

    Attributes:
        features: Channels out, half of them from the branch.
        stride: 1 or 2.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).

    References:
        Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
        Design", ECCV 2018, figure 3, https://arxiv.org/abs/1807.11164.
    """

    features: int
    stride: int = 1
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_choice("stride", self.stride, (1, 2))
        if self.features % 2:
            raise ValueError(f"features must be even, got {self.features!r}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`.

        Raises:
            ValueError: if stride 1 meets another number of channels.
        """
        conv = functools.partial(
            ConvNorm,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        half, channels = self.features // 2, x.shape[-1]
        if self.stride == 1 and channels != self.features:
            raise ValueError(
                f"SplitUnit keeps its channels at stride 1: features={self.features}, "
                f"got an input with {channels}."
            )
        kept, y = (x[..., :half], x[..., half:]) if self.stride == 1 else (x, x)
        relu = {"activation": "relu"}
        y = conv(half, 1, name="reduce", **relu)(y, train=train)
        y = conv(half, 3, self.stride, groups=half, name="depthwise")(y, train=train)
        y = conv(half, 1, name="expand", **relu)(y, train=train)
        if self.stride == 2:
            kept = conv(channels, 3, 2, groups=channels, name="shortcut_depthwise")(
                kept, train=train
            )
            kept = conv(half, 1, name="shortcut_pointwise", **relu)(kept, train=train)
        return channel_shuffle(jnp.concatenate([kept, y], axis=-1), 2)


class ShuffleNetV2(nn.Module):
    """A 3x3 `stem`, a max pool, three stages `stage1_block1`, ..., `last`, and `head`.

    These are the paper's stages 2 to 4, each of which halves the image, and its conv5.

    Attributes:
        features: Channels of each stage.
        stage_sizes: Units of each stage.
        stem_features: Channels of the stem.
        last_features: Channels of the 1x1 convolution `last`.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: Sequence[int]
    stage_sizes: Sequence[int] = (4, 8, 4)
    stem_features: int = 24
    last_features: int = 1024
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_numbers("features", self.features, 2)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        if len(self.features) != len(self.stage_sizes):
            raise ValueError(
                "features and stage_sizes must hold a number for each stage, got "
                f"{self.features!r} and {self.stage_sizes!r}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "ShuffleNetV2")
        options = {
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        conv = functools.partial(ConvNorm, activation="relu", **options)
        x = conv(self.stem_features, 3, 2, name="stem")(images, train=train)
        x = max_pool(x, 3, 2, 1)
        stages = zip(self.features, self.stage_sizes, strict=True)
        for stage, (features, units) in enumerate(stages, 1):
            for number in range(1, units + 1):
                x = SplitUnit(
                    features,
                    stride=2 if number == 1 else 1,
                    name=f"stage{stage}_block{number}",
                    **options,
                )(x, train=train)
        x = conv(self.last_features, 1, name="last")(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(ShuffleNetV2)
def _endpoints(model: ShuffleNetV2) -> list[str]:
    stages = list(enumerate(model.stage_sizes, 1))[:-1]
    return ["stem", *(f"stage{stage}_block{units}" for stage, units in stages), "last"]


@register_model
def shufflenet_v2_x0_5(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNet v2 0.5x, 1,366,792 parameters, 0.040 GMACs at 224.

    References:
        Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
        Design", ECCV 2018, table 5, https://arxiv.org/abs/1807.11164.
    """
    return ShuffleNetV2(features=(48, 96, 192), **kwargs)


@register_model
def shufflenet_v2_x1_0(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNet v2 1x, 2,278,604 parameters, 0.145 GMACs at 224.

    References:
        Ma et al., ECCV 2018, table 5, https://arxiv.org/abs/1807.11164.
    """
    return ShuffleNetV2(features=(116, 232, 464), **kwargs)


@register_model
def shufflenet_v2_x1_5(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNet v2 1.5x, 3,503,624 parameters, 0.296 GMACs at 224.

    References:
        Ma et al., ECCV 2018, table 5, https://arxiv.org/abs/1807.11164.
    """
    return ShuffleNetV2(features=(176, 352, 704), **kwargs)


@register_model
def shufflenet_v2_x2_0(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNet v2 2x, 7,393,996 parameters, 0.583 GMACs at 224.

    References:
        Ma et al., ECCV 2018, table 5, https://arxiv.org/abs/1807.11164.
    """
    return ShuffleNetV2(features=(244, 488, 976), last_features=2048, **kwargs)
