"""Xception: depthwise separable convolutions with residual connections."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.branches import check_width, scaled
from jaxcnn.layers.checks import check_choice, check_images, check_number
from jaxcnn.layers.conv import Conv, ConvNorm
from jaxcnn.layers.depthwise import DepthwiseConv
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.norm import batch_norm
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class SeparableConvNorm(nn.Module):
    """A 3x3 on each channel, `depthwise`, a 1x1, `pointwise`, then BatchNorm, `norm`.

    Attributes:
        features: Channels out.
        activation: Whether ReLU follows.
        epsilon: Added to the variance by the norm.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    activation: bool = False
    epsilon: float = 1e-5
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height, width, features]`."""
        options = {
            "use_bias": False,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
        }
        x = DepthwiseConv(3, name="depthwise", **options)(x)
        x = Conv(self.features, 1, name="pointwise", **options)(x)
        x = batch_norm(
            use_running_average=not train,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="norm",
        )(x)
        return nn.relu(x) if self.activation else x


class XceptionBlock(nn.Module):
    """ReLU and `sepconv1`, ReLU and `sepconv2`, ...; a max pool; plus a shortcut.

    Attributes:
        features: Channels of each separable convolution; the last are the output's.
        stride: 2 halves the map by a 3x3 max pool at the end; a 1x1 convolution with
            that stride is the shortcut then, and the input itself otherwise.
        first_activation: Whether a ReLU precedes the first convolution.
        padding: Of the pool: `"same"`, symmetrically, or `"tensorflow"`.
        epsilon: Added to the variance by the norms.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: Sequence[int]
    stride: int = 1
    first_activation: bool = True
    padding: str = "same"
    epsilon: float = 1e-5
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / stride, width / stride, features[-1]]`."""
        settings = _settings(self)
        y = x
        for number, features in enumerate(self.features, 1):
            y = nn.relu(y) if number > 1 or self.first_activation else y
            conv = SeparableConvNorm(features, name=f"sepconv{number}", **settings)
            y = conv(y, train=train)
        if self.stride > 1:
            y = max_pool(y, 3, self.stride, 1 if self.padding == "same" else "SAME")
        if x.shape != y.shape:
            shortcut = ConvNorm(
                self.features[-1], 1, self.stride, name="shortcut", **settings
            )
            x = shortcut(x, train=train)
        return x + y


class Xception(nn.Module):
    """`conv1`, `conv2`, twelve blocks `block1`, ..., `conv3`, `conv4` and `head`.

    `block1` to `block3` and the last block halve the map. The first two convolutions
    do not pad, so the smallest image is 7x7.

    Attributes:
        middle_blocks: Blocks that keep the shape, between the third and the last.
        width: Multiplies the channels of all layers.
        padding: Of the max pools: `"same"`, symmetrically, as in timm, or
            `"tensorflow"`, as in Keras, which differs where the map's side is even.
        epsilon: Added to the variance by the norms: 1e-5 in timm, 1e-3 in Keras.
        dropout: Share of the features dropped before the head, in training.
        kernel_init: Initialiser of the convolutions.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    middle_blocks: int = 8
    width: float = 1.0
    padding: str = "same"
    epsilon: float = 1e-5
    dropout: float = 0.5
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("middle_blocks", self.middle_blocks, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_choice("padding", self.padding, ("same", "tensorflow"))
        check_width(self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "Xception", 7)
        settings = _settings(self)
        conv = functools.partial(
            ConvNorm, padding="valid", activation="relu", **settings
        )
        x = conv(self._wide(32), 3, 2, name="conv1")(images, train=train)
        x = conv(self._wide(64), 3, name="conv2")(x, train=train)
        for number, (features, stride) in enumerate(self._blocks(), 1):
            x = XceptionBlock(
                tuple(map(self._wide, features)),
                stride,
                first_activation=number > 1,
                padding=self.padding,
                name=f"block{number}",
                **settings,
            )(x, train=train)
        for name, features in (("conv3", 1536), ("conv4", 2048)):
            last = SeparableConvNorm(
                self._wide(features), activation=True, name=name, **settings
            )
            x = last(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x

    def _blocks(self) -> list[tuple[tuple[int, ...], int]]:
        """Returns the channels and the stride of each block (figure 5)."""
        entry = [((features,) * 2, 2) for features in (128, 256, 728)]
        return [*entry, *[((728,) * 3, 1)] * self.middle_blocks, ((728, 1024), 2)]

    def _wide(self, features: int) -> int:
        return scaled(features, self.width)


def _settings(module: Any) -> dict[str, Any]:
    names = ("epsilon", "kernel_init", "dtype", "axis_name")
    return {name: getattr(module, name) for name in names}


@endpoints_of(Xception)
def _endpoints(model: Xception) -> list[str]:
    middle = f"block{3 + model.middle_blocks}"
    return ["conv2", "block1", "block2", middle, "conv4"]


@register_model
def xception(**kwargs: Any) -> Xception:
    """Xception, 22,855,952 parameters, 8.357 GMACs at 299.

    References:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR
        2017, figure 5, https://arxiv.org/abs/1610.02357.
    """
    return Xception(**kwargs)
