"""EfficientNet: one searched network, its width, depth and images scaled together."""

import math
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

#: Expansion, kernel size, channels, blocks and stride of the first (table 1, B0).
_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


class EfficientNet(nn.Module):
    """A 3x3 `stem`, blocks `stage1_block1`, ..., a 1x1 `last`, and `head`; SiLU.

    Every block has a squeeze-and-excite, of a quarter of the block's input channels.

    Attributes:
        width: Factor of all channels, which become multiples of 8.
        depth: Factor of the blocks of each stage, rounded up.
        stages: `(expansion, kernel, channels, blocks, stride)` of each stage.
        stem_features: Channels of the stem, before `width`.
        last_features: Channels of the last convolution, before `width`.
        padding: `"same"`, symmetric, as torchvision and timm's `efficientnet_*` have
            it, or `"tensorflow"`, as Keras and timm's `tf_efficientnet_*`.
        epsilon: Added to the variance by every norm; Keras and timm's
            `tf_efficientnet_*` have 1e-3, torchvision has it from B5 on.
        momentum: Weight of the old running statistics; Keras has 0.99, torchvision
            has it from B5 on.
        dropout: Share of features dropped before the head.
        drop_path: Share of examples whose branch the last block drops in training;
            less in earlier blocks, 0 in the first.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    width: float = 1.0
    depth: float = 1.0
    stages: Sequence[Sequence[int]] = _STAGES
    stem_features: int = 32
    last_features: int = 1280
    padding: str = "same"
    epsilon: float = 1e-5
    momentum: float = 0.9
    dropout: float = 0.2
    drop_path: float = 0.2
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 0.01, whole=False)
        check_number("depth", self.depth, 0.01, whole=False)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("drop_path", self.drop_path, 0, below=1, whole=False)
        check_choice("padding", self.padding, ("same", "tensorflow"))
        columns = ("expansion", "kernel", "channels", "blocks", "stride")
        check_rows("stages", self.stages, columns)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "EfficientNet")
        options = {"activation": "silu", **conv_options(self)}
        stem = make_divisible(self.stem_features * self.width)
        x = ConvNorm(stem, 3, 2, name="stem", **options)(images, train=train)
        for name, settings in block_settings(self).items():
            block = InvertedResidual(
                squeeze_activation="silu", name=name, **settings, **options
            )
            x = block(x, train=train)
        last = make_divisible(self.last_features * self.width)
        x = ConvNorm(last, 1, name="last", **options)(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def block_settings(model: EfficientNet) -> dict[str, dict[str, Any]]:
    """Returns what each block is built with, by its name."""
    settings: dict[str, dict[str, Any]] = {}
    inputs = make_divisible(model.stem_features * model.width)
    total = sum(math.ceil(row[3] * model.depth) for row in model.stages)
    for stage, row in enumerate(model.stages, 1):
        expansion, kernel, channels, blocks, stride = row
        for number in range(1, math.ceil(blocks * model.depth) + 1):
            features = make_divisible(channels * model.width)
            settings[f"stage{stage}_block{number}"] = {
                "features": features,
                "expanded": None if expansion == 1 else inputs * expansion,
                "kernel_size": kernel,
                "stride": stride if number == 1 else 1,
                "squeeze": max(1, inputs // 4),
                "drop_path": model.drop_path * len(settings) / total,
            }
            inputs = features
    return settings


@endpoints_of(EfficientNet)
def _endpoints(model: EfficientNet) -> list[str]:
    return last_block_of_each_size(block_settings(model))


@register_model
def efficientnet_b0(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B0, 5,288,548 parameters, 0.386 GMACs at 224.

    References:
        Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
        Networks", ICML 2019, table 1, https://arxiv.org/abs/1905.11946.
    """
    return EfficientNet(**kwargs)


@register_model
def efficientnet_b1(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B1, 7,794,184 parameters, 0.687 GMACs at 240.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    return EfficientNet(width=1.0, depth=1.1, **kwargs)


@register_model
def efficientnet_b2(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B2, 9,109,994 parameters, 1.088 GMACs at 288.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.3} | kwargs
    return EfficientNet(width=1.1, depth=1.2, **options)


@register_model
def efficientnet_b3(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B3, 12,233,232 parameters, 1.827 GMACs at 300.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.3} | kwargs
    return EfficientNet(width=1.2, depth=1.4, **options)


@register_model
def efficientnet_b4(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B4, 19,341,616 parameters, 4.394 GMACs at 380.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.4} | kwargs
    return EfficientNet(width=1.4, depth=1.8, **options)


@register_model
def efficientnet_b5(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B5, 30,389,784 parameters, 10.266 GMACs at 456.

    Norms have epsilon 1e-3 and momentum 0.99, as in torchvision.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.4, "epsilon": 1e-3, "momentum": 0.99} | kwargs
    return EfficientNet(width=1.6, depth=2.2, **options)


@register_model
def efficientnet_b6(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B6, 43,040,704 parameters, 19.068 GMACs at 528.

    Norms have epsilon 1e-3 and momentum 0.99, as in torchvision.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.5, "epsilon": 1e-3, "momentum": 0.99} | kwargs
    return EfficientNet(width=1.8, depth=2.6, **options)


@register_model
def efficientnet_b7(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B7, 66,347,960 parameters, 37.746 GMACs at 600.

    Norms have epsilon 1e-3 and momentum 0.99, as in torchvision.

    References:
        Tan and Le, ICML 2019, section 3.3, https://arxiv.org/abs/1905.11946; the
        factors are those of the authors' code, https://github.com/tensorflow/tpu.
    """
    options = {"dropout": 0.5, "epsilon": 1e-3, "momentum": 0.99} | kwargs
    return EfficientNet(width=2.0, depth=3.1, **options)
