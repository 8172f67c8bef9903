"""MobileNet v3: searched blocks with squeeze-and-excitation and hard swish."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.inverted_residual import (
    InvertedResidual,
    conv_options,
    make_divisible,
)
from jaxcnn.models.features import endpoints_of, last_block_of_each_size
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_COLUMNS = ("kernel", "expanded", "channels", "squeeze", "activation", "stride")

#: Kernel size, expanded channels, channels, squeeze-and-excite, activation, stride.
_Block = Sequence[Any]

#: Table 1 of the paper, by stage.
_LARGE: tuple[tuple[_Block, ...], ...] = (
    ((3, 16, 16, False, "relu", 1),),
    ((3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1)),
    (
        (5, 72, 40, True, "relu", 2),
        (5, 120, 40, True, "relu", 1),
        (5, 120, 40, True, "relu", 1),
    ),
    (
        (3, 240, 80, False, "hard_swish", 2),
        (3, 200, 80, False, "hard_swish", 1),
        (3, 184, 80, False, "hard_swish", 1),
        (3, 184, 80, False, "hard_swish", 1),
    ),
    ((3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1)),
    (
        (5, 672, 160, True, "hard_swish", 2),
        (5, 960, 160, True, "hard_swish", 1),
        (5, 960, 160, True, "hard_swish", 1),
    ),
)

#: Table 2 of the paper, by stage.
_SMALL: tuple[tuple[_Block, ...], ...] = (
    ((3, 16, 16, True, "relu", 2),),
    ((3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1)),
    (
        (5, 96, 40, True, "hard_swish", 2),
        (5, 240, 40, True, "hard_swish", 1),
        (5, 240, 40, True, "hard_swish", 1),
    ),
    ((5, 120, 48, True, "hard_swish", 1), (5, 144, 48, True, "hard_swish", 1)),
    (
        (5, 288, 96, True, "hard_swish", 2),
        (5, 576, 96, True, "hard_swish", 1),
        (5, 576, 96, True, "hard_swish", 1),
    ),
)


class MobileNetV3(nn.Module):
    """A 3x3 `stem`, blocks `stage1_block1`, ..., 1x1 `last`, `hidden`, and `head`.

    `last` has six times the channels of the last block and is the last over positions;
    the dense layer `hidden` sees their mean. Both are followed by hard swish.

    Attributes:
        stages: For each stage its blocks, each `(kernel, expanded, channels, squeeze,
            activation, stride)`. A block whose expanded channels are those of its input
            has no expansion; `squeeze` tells whether it has a squeeze-and-excite, of a
            quarter of the expanded channels.
        hidden: Units of the dense layer before the head, before `width`.
        width: Factor of all channels, which become multiples of 8.
        stem_features: Channels of the stem, before `width`.
        padding: `"same"`, symmetric, as torchvision trains it, or `"tensorflow"`, as
            Keras and timm's `tf_mobilenetv3_*` do.
        epsilon: Added to the variance by every norm; timm's own weights have 1e-5.
        momentum: Weight of the old running statistics.
        dropout: Share of features dropped before the head.
        drop_path: Share of examples whose branch the last block drops in training;
            less in earlier blocks, 0 in the first.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stages: Sequence[Sequence[_Block]]
    hidden: int
    width: float = 1.0
    stem_features: int = 16
    padding: str = "same"
    epsilon: float = 1e-3
    momentum: float = 0.99
    dropout: float = 0.2
    drop_path: float = 0.0
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("hidden", self.hidden, 1)
        check_number("width", self.width, 0.01, whole=False)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("drop_path", self.drop_path, 0, below=1, whole=False)
        check_choice("padding", self.padding, ("same", "tensorflow"))
        _check_stages(self.stages)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "MobileNetV3")
        options = conv_options(self)
        stem = make_divisible(self.stem_features * self.width)
        x = ConvNorm(stem, 3, 2, activation="hard_swish", name="stem", **options)(
            images, train=train
        )
        for name, settings in block_settings(self).items():
            block = InvertedResidual(
                gate="hard_sigmoid", name=name, **settings, **options
            )
            x = block(x, train=train)
        last = ConvNorm(
            6 * x.shape[-1], 1, activation="hard_swish", name="last", **options
        )
        x = global_average_pool(last(x, train=train).astype(jnp.float32))
        units = make_divisible(self.hidden * self.width)
        x = jax.nn.hard_swish(nn.Dense(units, dtype=self.dtype, name="hidden")(x))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = x.astype(jnp.float32)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def _check_stages(stages: Any) -> None:
    for stage in stages:
        for block in stage:
            if len(block) != len(_COLUMNS):
                raise ValueError(
                    f"stages must hold blocks ({', '.join(_COLUMNS)}), got {block!r}."
                )


def block_settings(model: MobileNetV3) -> dict[str, dict[str, Any]]:
    """Returns what each block is built with, by its name."""
    settings: dict[str, dict[str, Any]] = {}
    inputs = make_divisible(model.stem_features * model.width)
    total = sum(map(len, model.stages))
    for stage, blocks in enumerate(model.stages, 1):
        for number, block in enumerate(blocks, 1):
            kernel, expanded, channels, squeeze, activation, stride = block
            expanded = make_divisible(expanded * model.width)
            features = make_divisible(channels * model.width)
            settings[f"stage{stage}_block{number}"] = {
                "features": features,
                "expanded": None if expanded == inputs else expanded,
                "kernel_size": kernel,
                "stride": stride,
                "squeeze": make_divisible(expanded // 4) if squeeze else 0,
                "activation": activation,
                "drop_path": model.drop_path * len(settings) / total,
            }
            inputs = features
    return settings


@endpoints_of(MobileNetV3)
def _endpoints(model: MobileNetV3) -> list[str]:
    return last_block_of_each_size(block_settings(model))


@register_model
def mobilenet_v3_large(**kwargs: Any) -> MobileNetV3:
    """MobileNet v3 large, 5,483,032 parameters, 0.217 GMACs at 224.

    References:
        Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1,
        https://arxiv.org/abs/1905.02244.
    """
    return MobileNetV3(stages=_LARGE, hidden=1280, **kwargs)


@register_model
def mobilenet_v3_small(**kwargs: Any) -> MobileNetV3:
    """MobileNet v3 small, 2,542,856 parameters, 0.057 GMACs at 224.

    References:
        Howard et al., ICCV 2019, table 2, https://arxiv.org/abs/1905.02244.
    """
    return MobileNetV3(stages=_SMALL, hidden=1024, **kwargs)
