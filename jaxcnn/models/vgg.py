"""VGG networks of 11 to 19 layers, with and without batch normalization."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import (
    check_choice,
    check_images,
    check_number,
    check_numbers,
)
from jaxcnn.layers.conv import ConvNorm
from jaxcnn.layers.conv_act import ConvAct
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import adaptive_avg_pool, avg_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_POOLS = {"max": max_pool, "average": avg_pool}


class VGG(nn.Module):
    """Stages of 3x3 convolutions `conv1_1`, `conv1_2`, `conv2_1`, ...; `head`.

    Each stage ends in a 2x2 max pool. Behind the last, maps are averaged to 7x7, which
    a 224x224 image already has, and two dense layers follow, `hidden1` and `hidden2`.

    The output of `conv3_1` is what its ReLU gives. What the ReLU gets is the output of
    `conv3_1/conv`, or of `conv3_1/norm` where there is a norm.

    Attributes:
        stage_sizes: Convolutions of each stage.
        norm: Whether BatchNorm follows each convolution, which keeps its bias.
        width: Channels of the first stage; each stage doubles them, up to eight times.
        hidden: Units of each of the two dense layers.
        dropout: Share of the units dropped behind either of them, in training.
        pool: `"max"` or `"average"`, over 2x2; the weights of one serve the other for
            style transfer (Gatys et al. 2016, section 2), not for classification.
        kernel_init: Initialiser of the convolutions; dense layers start as He normal.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stage_sizes: Sequence[int]
    norm: bool = False
    width: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    pool: str = "max"
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("width", self.width, 1)
        check_number("hidden", self.hidden, 1)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_choice("pool", self.pool, _POOLS)
        check_numbers("stage_sizes", self.stage_sizes, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "VGG", 2 ** len(self.stage_sizes))
        x = images
        for stage, convs in enumerate(self.stage_sizes):
            features = self.width * 2 ** min(stage, 3)
            for number in range(convs):
                name = f"conv{stage + 1}_{number + 1}"
                x = self._conv(x, features, name, train)
            x = _POOLS[self.pool](x, 2)
        x = adaptive_avg_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        for number in (1, 2):
            dense = nn.Dense(
                self.hidden,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"hidden{number}",
            )
            x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(dense(x)))
        x = x.astype(jnp.float32)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x

    def _conv(self, x: Array, features: int, name: str, train: bool) -> Array:
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype, "name": name}
        if not self.norm:
            return ConvAct(features, 3, **options)(x)
        options |= {"use_bias": True, "axis_name": self.axis_name}
        return ConvNorm(features, 3, activation="relu", **options)(x, train=train)


@endpoints_of(VGG)
def _endpoints(model: VGG) -> list[str]:
    return [f"conv{stage}_{n}" for stage, n in enumerate(model.stage_sizes, 1)]


@register_model
def vgg11(**kwargs: Any) -> VGG:
    """VGG-11 (A), 132,863,336 parameters, 7.609 GMACs at 224.

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(1, 1, 2, 2, 2), norm=False, **kwargs)


@register_model
def vgg11_bn(**kwargs: Any) -> VGG:
    """VGG-11 with BatchNorm, 132,868,840 parameters, 7.609 GMACs at 224.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556;
        the norms are torchvision's addition.
    """
    return VGG(stage_sizes=(1, 1, 2, 2, 2), norm=True, **kwargs)


@register_model
def vgg13(**kwargs: Any) -> VGG:
    """VGG-13 (B), 133,047,848 parameters, 11.308 GMACs at 224. As `vgg11`.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 2, 2, 2), norm=False, **kwargs)


@register_model
def vgg13_bn(**kwargs: Any) -> VGG:
    """VGG-13 with BatchNorm, 133,053,736 parameters, 11.308 GMACs at 224.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 2, 2, 2), norm=True, **kwargs)


@register_model
def vgg16(**kwargs: Any) -> VGG:
    """VGG-16 (D), 138,357,544 parameters, 15.470 GMACs at 224. As `vgg11`.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 3, 3, 3), norm=False, **kwargs)


@register_model
def vgg16_bn(**kwargs: Any) -> VGG:
    """VGG-16 with BatchNorm, 138,365,992 parameters, 15.470 GMACs at 224.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 3, 3, 3), norm=True, **kwargs)


@register_model
def vgg19(**kwargs: Any) -> VGG:
    """VGG-19 (E), 143,667,240 parameters, 19.632 GMACs at 224. As `vgg11`.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 4, 4, 4), norm=False, **kwargs)


@register_model
def vgg19_bn(**kwargs: Any) -> VGG:
    """VGG-19 with BatchNorm, 143,678,248 parameters, 19.632 GMACs at 224.

    References:
        Simonyan and Zisserman, ICLR 2015, table 1, https://arxiv.org/abs/1409.1556.
    """
    return VGG(stage_sizes=(2, 2, 4, 4, 4), norm=True, **kwargs)
