"""MobileNet v2: residual blocks that are narrow at the ends and wide inside."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_rows
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

#: Expansion, channels, blocks and stride of the first of them (table 2 of the paper).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """A 3x3 `stem`, blocks `stage1_block1`, ..., a 1x1 `last`, and `head`; ReLU6.

    Attributes:
        width: Factor of all channels, which become multiples of 8; those of `last` are
            never fewer than `last_features`.
        stages: `(expansion, channels, blocks, stride)` of each stage.
        stem_features: Channels of the stem, before `width`.
        last_features: Channels of the last convolution, before `width`.
        padding: `"same"`, symmetric, as torchvision and timm train it, or
            `"tensorflow"`, as Keras does.
        epsilon: Added to the variance by every norm; Keras has 1e-3.
        momentum: Weight of the old running statistics; Keras has 0.999.
        dropout: Share of features dropped before the head.
        drop_path: Share of examples whose branch the last block drops in training;
            less in earlier blocks, 0 in the first.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    width: float = 1.0
    stages: Sequence[Sequence[int]] = _STAGES
    stem_features: int = 32
    last_features: int = 1280
    padding: str = "same"
    epsilon: float = 1e-5
    momentum: float = 0.9
    dropout: float = 0.2
    drop_path: float = 0.0
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 0.01, whole=False)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("drop_path", self.drop_path, 0, below=1, whole=False)
        check_choice("padding", self.padding, ("same", "tensorflow"))
        columns = ("expansion", "channels", "blocks", "stride")
        check_rows("stages", self.stages, columns)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "MobileNetV2")
        options = conv_options(self)
        stem = make_divisible(self.stem_features * self.width)
        x = ConvNorm(stem, 3, 2, activation="relu6", name="stem", **options)(
            images, train=train
        )
        for name, settings in block_settings(self).items():
            x = InvertedResidual(name=name, **settings, **options)(x, train=train)
        last = make_divisible(self.last_features * max(1.0, self.width))
        x = ConvNorm(last, 1, activation="relu6", name="last", **options)(
            x, train=train
        )
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def block_settings(model: MobileNetV2) -> dict[str, dict[str, Any]]:
    """Returns what each block is built with, by its name."""
    settings: dict[str, dict[str, Any]] = {}
    inputs = make_divisible(model.stem_features * model.width)
    total = sum(blocks for _, _, blocks, _ in model.stages)
    for stage, (expansion, channels, blocks, stride) in enumerate(model.stages, 1):
        for number in range(1, blocks + 1):
            features = make_divisible(channels * model.width)
            settings[f"stage{stage}_block{number}"] = {
                "features": features,
                "expanded": None if expansion == 1 else inputs * expansion,
                "stride": stride if number == 1 else 1,
                "drop_path": model.drop_path * len(settings) / total,
            }
            inputs = features
    return settings


@endpoints_of(MobileNetV2)
def _endpoints(model: MobileNetV2) -> list[str]:
    return last_block_of_each_size(block_settings(model))


@register_model
def mobilenet_v2(**kwargs: Any) -> MobileNetV2:
    """MobileNet v2, 3,504,872 parameters, 0.301 GMACs at 224.

    References:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
        2018, table 2, https://arxiv.org/abs/1801.04381.
    """
    return MobileNetV2(**kwargs)
