"""AlexNet, as torchvision has it: one tower, without local response normalisation."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.conv_act import ConvAct
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import adaptive_avg_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

#: Kernel size, stride and padding of the convolutions.
_CONVS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
#: The convolutions with a 3x3 max pool of stride 2 behind them.
_POOLED = (1, 2, 5)


class AlexNet(nn.Module):
    """`conv1` to `conv5`, dense `hidden1` and `hidden2`, and `head`.

    The output of `conv1` is what its ReLU gives, that of `conv1/conv` what it gets; so
    for all convolutions. Max pools of 3x3 with stride 2 follow `conv1`, `conv2` and
    `conv5`. The last map is averaged to 6x6, which a 224x224 image already has, so
    images of any size from 63x63 work.

    Attributes:
        features: Channels of the five convolutions.
        hidden: Units of each of the two dense layers.
        dropout: Share of the units dropped before either of them, in training.
        kernel_init: Initialiser of the convolutions; dense layers start as He normal.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    features: Sequence[int] = (64, 192, 384, 256, 256)
    hidden: int = 4096
    dropout: float = 0.5
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("hidden", self.hidden, 1)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_numbers("features", self.features, 1)
        if len(self.features) != len(_CONVS):
            raise ValueError(
                f"features needs the channels of {len(_CONVS)} convolutions, "
                f"got {self.features!r}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "AlexNet", 63)
        x = images
        layers = zip(self.features, _CONVS, strict=True)
        for number, (features, (size, stride, padding)) in enumerate(layers, 1):
            x = ConvAct(
                features,
                size,
                stride,
                padding,
                kernel_init=self.kernel_init,
                dtype=self.dtype,
                name=f"conv{number}",
            )(x)
            if number in _POOLED:
                x = max_pool(x, 3, 2)
        x = adaptive_avg_pool(x, 6)
        x = x.reshape(x.shape[0], -1)
        for number in (1, 2):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            dense = nn.Dense(
                self.hidden,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"hidden{number}",
            )
            x = nn.relu(dense(x))
        x = x.astype(jnp.float32)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


@endpoints_of(AlexNet)
def _endpoints(model: AlexNet) -> list[str]:
    return ["conv1", "conv2", "conv5"]


@register_model
def alexnet(**kwargs: Any) -> AlexNet:
    """AlexNet in one tower, 61,100,840 parameters, 0.714 GMACs at 224.

    References:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks", NIPS 2012,
        https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html;
        the one tower and its widths are Krizhevsky, "One weird trick for parallelizing
        convolutional neural networks", 2014, https://arxiv.org/abs/1404.5997.
    """
    return AlexNet(**kwargs)
