"""MobileNet v1: depthwise convolutions over all positions, 1x1 over all channels."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_rows
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.inverted_residual import conv_options, make_divisible
from jaxcnn.models.features import endpoints_of, last_of_each_size
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

#: Channels, blocks and stride of the first of them (table 1 of the paper).
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


class DepthwiseSeparable(nn.Module):
    """A 3x3 `depthwise` convolution, then a 1x1 `pointwise` one, both with ReLU6.

    Attributes:
        features: Channels out.
        stride: Stride of the depthwise convolution.
        padding: `"same"`, symmetric; or `"tensorflow"`, where stride 2 pads a pixel
            at the end and none at the beginning, whatever the size, as in Keras.
        epsilon: Added to the variance by both norms.
        momentum: Weight of the old running statistics.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    stride: int = 1
    padding: str = "same"
    epsilon: float = 1e-5
    momentum: float = 0.9
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features]`."""
        conv = functools.partial(
            ConvNorm, activation="relu6", **conv_options(self) | {"padding": "same"}
        )
        at_the_end = self.padding == "tensorflow" and self.stride == 2
        padding = [(0, 1)] * (x.ndim - 2) if at_the_end else "same"
        channels = x.shape[-1]
        depthwise = conv(
            channels,
            3,
            self.stride,
            groups=channels,
            padding=padding,
            name="depthwise",
        )
        return conv(self.features, 1, name="pointwise")(
            depthwise(x, train=train), train=train
        )


class MobileNetV1(nn.Module):
    """A 3x3 `stem` with stride 2, blocks `stage1_block1`, ..., and `head`.

    Attributes:
        width: Factor of all channels, which become multiples of 8.
        stages: `(channels, blocks, stride)` of each stage.
        stem_features: Channels of the stem, before `width`.
        padding: `"same"`, symmetric, as timm trains it; `"tensorflow"`, as Keras does:
            the last pixel is padded and the first is not. Keras's needs images of at
            least 31 pixels.
        epsilon: Added to the variance by every norm; Keras has 1e-3.
        momentum: Weight of the old running statistics; Keras has 0.99.
        dropout: Share of features dropped before the head; Keras has 0.001.
        kernel_init: Initialiser of the convolutions; He normal, fan out.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    width: float = 1.0
    stages: Sequence[Sequence[int]] = _STAGES
    stem_features: int = 32
    padding: str = "same"
    epsilon: float = 1e-5
    momentum: float = 0.9
    dropout: float = 0.0
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 0.01, whole=False)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_choice("padding", self.padding, ("same", "tensorflow"))
        check_rows("stages", self.stages, ("channels", "blocks", "stride"))
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        # Where stride 2 pads one side alone, a last odd pixel is lost each time.
        halvings = sum(stride == 2 for _, _, stride in self.stages)
        smallest = 2 * 2**halvings - 1 if self.padding == "tensorflow" else 1
        check_images(images, "MobileNetV1", smallest)
        options = conv_options(self)
        stem = make_divisible(self.stem_features * self.width)
        x = ConvNorm(stem, 3, 2, activation="relu6", name="stem", **options)(
            images, train=train
        )
        for name, settings in block_settings(self).items():
            x = DepthwiseSeparable(name=name, **settings, **options)(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def block_settings(model: MobileNetV1) -> dict[str, dict[str, int]]:
    """Returns channels and stride of each block by its name."""
    return {
        f"stage{stage}_block{number}": {
            "features": make_divisible(channels * model.width),
            "stride": stride if number == 1 else 1,
        }
        for stage, (channels, blocks, stride) in enumerate(model.stages, 1)
        for number in range(1, blocks + 1)
    }


@endpoints_of(MobileNetV1)
def _endpoints(model: MobileNetV1) -> list[str]:
    blocks = block_settings(model).items()
    return last_of_each_size(
        [("stem", 2), *((name, block["stride"]) for name, block in blocks)]
    )


@register_model
def mobilenet_v1(**kwargs: Any) -> MobileNetV1:
    """MobileNet v1, 4,231,976 parameters, 0.5687 GMACs at 224.

    References:
        Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
        Vision Applications", 2017, table 1, https://arxiv.org/abs/1704.04861.
    """
    return MobileNetV1(**kwargs)


@register_model
def mobilenet_v1_0_75(**kwargs: Any) -> MobileNetV1:
    """MobileNet v1, 0.75 of the channels, 2,585,560 parameters, 0.325 GMACs at 224.

    References:
        Howard et al., 2017, table 6, https://arxiv.org/abs/1704.04861.
    """
    return MobileNetV1(width=0.75, **kwargs)


@register_model
def mobilenet_v1_0_5(**kwargs: Any) -> MobileNetV1:
    """MobileNet v1, half of the channels, 1,331,592 parameters, 0.149 GMACs at 224.

    References:
        Howard et al., 2017, table 6, https://arxiv.org/abs/1704.04861.
    """
    return MobileNetV1(width=0.5, **kwargs)


@register_model
def mobilenet_v1_0_25(**kwargs: Any) -> MobileNetV1:
    """MobileNet v1, a quarter of the channels, 470,072 parameters, 0.041 GMACs at 224.

    References:
        Howard et al., 2017, table 6, https://arxiv.org/abs/1704.04861.
    """
    return MobileNetV1(width=0.25, **kwargs)
