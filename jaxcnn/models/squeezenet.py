"""SqueezeNet 1.0 and 1.1: fire modules, and a convolution for a classifier."""

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
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.conv_act import ConvAct
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import avg_pool, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_POOLS = {"max": max_pool, "average": avg_pool}


class Fire(nn.Module):
    """A 1x1 convolution, `squeeze`, then a 1x1 and a 3x3 side by side.

    Attributes:
        squeeze: Channels of the first 1x1.
        expand: Channels of each of `expand1x1` and `expand3x3`.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters stay float32.
    """

    squeeze: int
    expand: int
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, height, width, 2 * expand]`."""
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        x = ConvAct(self.squeeze, 1, name="squeeze", **options)(x)
        one = ConvAct(self.expand, 1, name="expand1x1", **options)(x)
        three = ConvAct(self.expand, 3, name="expand3x3", **options)(x)
        return jnp.concatenate([one, three], axis=-1)


class SqueezeNet(nn.Module):
    """`conv1`, fire modules `fire2`, `fire3`, ..., and `head`, a 1x1 convolution.

    The logits are the means over all positions of what ReLU leaves of the head's
    output, so they are never negative. Pools round sizes up (`ceil_mode`).

    Attributes:
        features: Channels of `conv1`, whose stride is 2; it does not pad.
        kernel_size: Size of its kernel.
        squeeze: `squeeze` of each fire module.
        expand: `expand` of each fire module.
        pools: Layers by number with a 3x3 max pool of stride 2 behind them: 1 is
            `conv1`, 2 is `fire2`, and so on.
        head_padding: Zeros around the map before the head, which count in the mean;
            the published Caffe weights were trained with 1.
        dropout: Share of the values dropped before the head, in training.
        pool: `"max"` or `"average"`; with published weights the latter is for style
            transfer alone.
        kernel_init: Initialiser of the convolutions; the head starts as a normal
            distribution of standard deviation 0.01.
        num_classes: Logits out; 0 returns the mean over positions of what the head
            would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    features: int
    kernel_size: int
    squeeze: Sequence[int] = (16, 16, 32, 32, 48, 48, 64, 64)
    expand: Sequence[int] = (64, 64, 128, 128, 192, 192, 256, 256)
    pools: Sequence[int] = (1, 4, 8)
    head_padding: int = 0
    dropout: float = 0.5
    pool: str = "max"
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("features", self.features, 1)
        check_number("head_padding", self.head_padding, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_choice("pool", self.pool, _POOLS)
        for name in ("squeeze", "expand", "pools"):
            check_numbers(name, getattr(self, name), 1)
        if len(self.squeeze) != len(self.expand):
            raise ValueError(
                "squeeze and expand must have a number for each fire module, got "
                f"{self.squeeze!r} and {self.expand!r}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "SqueezeNet", self._smallest())
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = ConvAct(
            self.features, self.kernel_size, 2, "valid", name="conv1", **options
        )
        x = self._pool(conv(images), 1)
        sizes = zip(self.squeeze, self.expand, strict=True)
        for number, (squeeze, expand) in enumerate(sizes, 2):
            fire = Fire(squeeze, expand, name=f"fire{number}", **options)
            x = self._pool(fire(x), number)
        if not self.num_classes:
            return global_average_pool(x.astype(jnp.float32))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        head = Conv(
            self.num_classes,
            1,
            padding=self.head_padding,
            kernel_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
            name="head",
        )
        return global_average_pool(nn.relu(head(x)).astype(jnp.float32))

    def _pool(self, x: Array, number: int) -> Array:
        if number not in self.pools:
            return x
        return _POOLS[self.pool](x, 3, 2, ceil_mode=True)

    def _smallest(self) -> int:
        """Returns the shortest side of which the pools leave something: each halves."""
        return 2 * (2 ** len(self.pools) - 1) + self.kernel_size


@endpoints_of(SqueezeNet)
def _endpoints(model: SqueezeNet) -> list[str]:
    last = [*model.pools, len(model.squeeze) + 1]
    names = ["conv1" if number == 1 else f"fire{number}" for number in last]
    return list(dict.fromkeys(names))


@register_model
def squeezenet1_0(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0, 1,248,424 parameters, 0.819 GMACs at 224.

    References:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
        and <0.5MB model size", 2016, table 1, https://arxiv.org/abs/1602.07360.
    """
    return SqueezeNet(features=96, kernel_size=7, pools=(1, 4, 8), **kwargs)


@register_model
def squeezenet1_1(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1: a smaller stem and earlier pools.

    1,235,496 parameters, 0.349 GMACs at 224.

    References:
        Iandola et al., 2016, https://arxiv.org/abs/1602.07360; version 1.1 is from
        https://github.com/forresti/SqueezeNet.
    """
    return SqueezeNet(features=64, kernel_size=3, pools=(1, 3, 5), **kwargs)
