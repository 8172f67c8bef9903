"""Densely connected networks: DenseNet-121 to 201, and those for 32x32 images."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.conv import Conv, ConvNorm
from jaxcnn.layers.initializers import Initializer
from jaxcnn.layers.norm import batch_norm
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import avg_pool, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_he_normal = nn.initializers.he_normal()


class DenseLayer(nn.Module):
    """What a layer of a dense block adds: norm, ReLU, 3x3, of all that is before it.

    With a bottleneck, norm, ReLU and 1x1 come first.

    Attributes:
        growth_rate: Channels out; k in the paper.
        bottleneck: Channels between the 1x1 and the 3x3 for each one out; 0 for no 1x1.
        dropout: Share of the new values dropped in training.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    growth_rate: int
    bottleneck: int = 4
    dropout: float = 0.0
    kernel_init: Initializer = _he_normal
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns the new channels alone, `[batch, height, width, growth_rate]`."""
        if self.bottleneck:
            inner = self.bottleneck * self.growth_rate
            x = _norm_relu_conv(self, inner, 1, ("norm1", "conv1"), x, train)
            x = _drop(self, x, train)
            names = ("norm2", "conv2")
        else:
            names = ("norm", "conv")
        x = _norm_relu_conv(self, self.growth_rate, 3, names, x, train)
        return _drop(self, x, train)


class DenseBlock(nn.Module):
    """`layer1`, `layer2`, ...: each sees the input and what all before it added.

    Attributes:
        layers: How many.
        growth_rate: Channels that each layer adds.
        bottleneck: Channels between the 1x1 and the 3x3 for each one out; 0 for no 1x1.
        dropout: Share of the new values dropped in training.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    layers: int
    growth_rate: int
    bottleneck: int = 4
    dropout: float = 0.0
    kernel_init: Initializer = _he_normal
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height, width, channels + layers * growth_rate]`."""
        for number in range(1, self.layers + 1):
            new = DenseLayer(
                self.growth_rate,
                self.bottleneck,
                self.dropout,
                self.kernel_init,
                self.dtype,
                self.axis_name,
                name=f"layer{number}",
            )(x, train=train)
            x = jnp.concatenate([x, new], axis=-1)
        return x


class Transition(nn.Module):
    """Norm, ReLU and 1x1 between two dense blocks; the network then halves the image.

    Attributes:
        features: Channels out.
        dropout: Share of values dropped in training.
        kernel_init: Initialiser of the kernel.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    dropout: float = 0.0
    kernel_init: Initializer = _he_normal
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height / 2, width / 2, features]`."""
        names = ("norm", "conv")
        x = _norm_relu_conv(self, self.features, 1, names, x, train)
        return avg_pool(_drop(self, x, train), 2)


class DenseNet(nn.Module):
    """`stem`, dense blocks `block1`, ... with transitions between, `norm` and `head`.

    Attributes:
        block_sizes: Layers of each dense block.
        growth_rate: Channels that each layer adds; k in the paper.
        stem_features: Channels of the stem.
        stem: `"imagenet"`: a 7x7 convolution with stride 2, norm, ReLU and a 3x3 max
            pool with stride 2. `"cifar"`: a 3x3 convolution.
        bottleneck: Channels between the 1x1 and the 3x3 of a layer for each one out
            (the B of DenseNet-BC); 0 for layers without a 1x1.
        compression: Share of the channels that a transition keeps, rounded down (below
            1 it is the C of DenseNet-BC).
        dropout: Share of values dropped behind each convolution but the first. The
            paper has 0.2 on small images without augmentation (section 4.2).
        kernel_init: Initialiser of the convolutions; He normal.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    block_sizes: Sequence[int]
    growth_rate: int = 32
    stem_features: int = 64
    stem: str = "imagenet"
    bottleneck: int = 4
    compression: float = 0.5
    dropout: float = 0.0
    kernel_init: Initializer = _he_normal
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    def __post_init__(self) -> None:
        check_numbers("block_sizes", self.block_sizes, 1)
        check_number("growth_rate", self.growth_rate, 1)
        check_number("stem_features", self.stem_features, 1)
        check_choice("stem", self.stem, ("imagenet", "cifar"))
        check_number("bottleneck", self.bottleneck, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("num_classes", self.num_classes, 0)
        if not 0 < self.compression <= 1:
            raise ValueError(f"compression must be in (0, 1], got {self.compression}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "DenseNet", self._min_size())
        options = {
            "dropout": self.dropout,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        x = self._stem(images, train)
        for number, layers in enumerate(self.block_sizes, 1):
            x = DenseBlock(
                layers,
                self.growth_rate,
                self.bottleneck,
                name=f"block{number}",
                **options,
            )(x, train=train)
            if number < len(self.block_sizes):
                features = int(x.shape[-1] * self.compression)
                name = f"transition{number}"
                x = Transition(features, name=name, **options)(x, train=train)
        x = _norm_relu(self, "norm", x, train)
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x

    def _stem(self, images: Array, train: bool) -> Array:
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype, "name": "stem"}
        if self.stem == "cifar":
            return Conv(self.stem_features, 3, use_bias=False, **options)(images)
        stem = ConvNorm(
            self.stem_features,
            7,
            2,
            activation="relu",
            axis_name=self.axis_name,
            **options,
        )
        return max_pool(stem(images, train=train), 3, 2, 1)

    def _min_size(self) -> int:
        """Each transition halves the image, rounding down, the stem's steps up."""
        halved = 2 ** (len(self.block_sizes) - 1)
        return halved if self.stem == "cifar" else 4 * halved - 3


@endpoints_of(DenseNet)
def _endpoints(model: DenseNet) -> list[str]:
    stem = ["stem"] if model.stem == "imagenet" else []
    return [*stem, *(f"block{n}" for n in range(1, len(model.block_sizes) + 1))]


def _norm_relu(module: Any, name: str, x: Array, train: bool) -> Array:
    norm = batch_norm(
        use_running_average=not train,
        dtype=module.dtype,
        axis_name=module.axis_name,
        name=name,
    )
    return nn.relu(norm(x))


def _norm_relu_conv(
    module: Any, features: int, size: int, names: tuple[str, str], x: Array, train: bool
) -> Array:
    norm, conv = names
    return Conv(
        features,
        size,
        use_bias=False,
        kernel_init=module.kernel_init,
        dtype=module.dtype,
        name=conv,
    )(_norm_relu(module, norm, x, train))


def _drop(module: Any, x: Array, train: bool) -> Array:
    if not module.dropout:
        return x
    return nn.Dropout(module.dropout, deterministic=not train)(x)


@register_model
def densenet121(**kwargs: Any) -> DenseNet:
    """DenseNet-121, 7,978,856 parameters, 2.834 GMACs at 224.

    Kernels start as He normal, as for all of this family.

    References:
        Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, table 1,
        https://arxiv.org/abs/1608.06993.
    """
    return DenseNet(block_sizes=(6, 12, 24, 16), **kwargs)


@register_model
def densenet161(**kwargs: Any) -> DenseNet:
    """DenseNet-161 (k = 48), 28,681,000 parameters, 7.728 GMACs at 224.

    References:
        Huang et al., CVPR 2017, https://arxiv.org/abs/1608.06993.
    """
    return DenseNet(
        block_sizes=(6, 12, 36, 24), growth_rate=48, stem_features=96, **kwargs
    )


@register_model
def densenet169(**kwargs: Any) -> DenseNet:
    """DenseNet-169, 14,149,480 parameters, 3.360 GMACs at 224.

    References:
        Huang et al., CVPR 2017, table 1, https://arxiv.org/abs/1608.06993.
    """
    return DenseNet(block_sizes=(6, 12, 32, 32), **kwargs)


@register_model
def densenet201(**kwargs: Any) -> DenseNet:
    """DenseNet-201, 20,013,928 parameters, 4.291 GMACs at 224.

    References:
        Huang et al., CVPR 2017, table 1, https://arxiv.org/abs/1608.06993.
    """
    return DenseNet(block_sizes=(6, 12, 48, 32), **kwargs)
