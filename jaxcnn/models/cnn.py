"""The courses' CNN: convolutions and pooling repeated, then dense layers.

For images, and under names of their own for sequences and volumes.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.activation import (
    Activation,
    apply_activation,
    check_activation,
)
from jaxcnn.layers.checks import (
    KINDS,
    check_choice,
    check_images,
    check_number,
    check_numbers,
)
from jaxcnn.layers.conv import Conv, Padding, conv_padding
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.layers.norm import NORMS, make_norm
from jaxcnn.ops import avg_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_POOLS: dict[str, Callable[[Array], Array]] = {
    "max": lambda x: max_pool(x, 2),
    "average": lambda x: avg_pool(x, 2),
    "stride": lambda x: x,  # the stage's last convolution has stride 2
}


class Cnn(nn.Module):
    """Stages of convolution, norm, activation and pooling, then dense layers.

    Each stage halves the image. Its convolutions are named `stage1_conv1`,
    `stage1_conv2`, ..., its norms `stage1_norm1`, ...; the dense layers `hidden1`, ...
    and `head`; activations that are modules, such as PReLU, `stage1_act1`, ... and
    `hidden1_act`, ...

    Attributes:
        features: Channels of each stage.
        convs_per_stage: Convolutions in each stage: one number, or one a stage.
        kernel_size: Side of every kernel: one number, or one a stage.
        norm: `None` or one of `jaxcnn.layers.NORMS`, after every convolution, which
            then has no bias (but with `"local_response"`, which adds none of its own).
        norm_position: `"before"` or `"after"` the activation.
        activation: What `jaxcnn.layers.apply_activation` takes, such as `"relu"`.
        pool: How a stage halves the image: `"max"` or `"average"` over 2x2 (2 along
            every axis), or `"stride"`, stride 2 in its last convolution.
        dropout: Share of values dropped before each dense layer, in training.
        hidden: Units of each dense layer before the head.
        padding: `"same"`, `"valid"`, or a number for every side.
        kernel_init: A name of `jaxcnn.layers.INITIALIZERS`, or an initialiser.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
        rank: Spatial axes: 2 for images; 1 for sequences, `[batch, length, channels]`;
            3 for volumes, `[batch, depth, height, width, channels]`.
    """

    features: Sequence[int] = (32, 64)
    convs_per_stage: int | Sequence[int] = 1
    kernel_size: int | Sequence[int] = 3
    norm: str | None = None
    norm_position: str = "before"
    activation: str | Activation = "relu"
    pool: str = "max"
    dropout: float = 0.0
    hidden: Sequence[int] = ()
    padding: Padding = "same"
    kernel_init: str | Initializer = "lecun_normal"
    num_classes: int = 10
    dtype: Dtype | None = None
    axis_name: str | None = None
    rank: int = 2

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, (None, *NORMS))
        check_choice("norm_position", self.norm_position, ("before", "after"))
        check_choice("pool", self.pool, _POOLS)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("num_classes", self.num_classes, 0)
        check_choice("rank", self.rank, KINDS)
        for name in ("features", "hidden"):
            check_numbers(name, getattr(self, name), 1)
        for name in ("convs_per_stage", "kernel_size"):
            check_numbers(name, self._each_stage(name), 1)
        check_activation(self.activation)
        make_initializer(self.kernel_init)
        conv_padding(self.padding, (1,))
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "Cnn", self._min_size(), self.rank)
        x = images
        for stage in range(len(self.features)):
            x = self._stage(x, stage, train)
        x = x.reshape(x.shape[0], -1)
        kernel_init = make_initializer(self.kernel_init)
        for number, units in enumerate(self.hidden, 1):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            dense = nn.Dense(
                units, kernel_init=kernel_init, dtype=self.dtype, name=f"hidden{number}"
            )
            x = apply_activation(
                self.activation, dense(x), train=train, name=f"hidden{number}_act"
            )
        x = nn.Dropout(self.dropout, deterministic=not train)(x).astype(jnp.float32)
        if not self.num_classes:
            return x
        return nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(x)

    def _stage(self, x: Array, stage: int, train: bool) -> Array:
        convs = self._each_stage("convs_per_stage")[stage]
        for number in range(1, convs + 1):
            last = number == convs
            stride = 2 if last and self.pool == "stride" else 1
            x = self._conv(x, stage, number, stride, train)
        return _POOLS[self.pool](x)

    def _conv(
        self, x: Array, stage: int, number: int, stride: int, train: bool
    ) -> Array:
        """Returns convolution, norm and activation in the order that was chosen."""
        features = self.features[stage]
        x = Conv(
            features,
            self._each_stage("kernel_size")[stage],
            stride,
            self.padding,
            use_bias=self.norm in (None, "local_response"),
            kernel_init=make_initializer(self.kernel_init),
            dtype=self.dtype,
            name=f"stage{stage + 1}_conv{number}",
        )(x)
        activation = functools.partial(
            apply_activation,
            self.activation,
            train=train,
            name=f"stage{stage + 1}_act{number}",
        )
        if self.norm is None:
            return activation(x)
        norm = make_norm(
            self.norm,
            features,
            train=train,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name=f"stage{stage + 1}_norm{number}",
        )
        before = self.norm_position == "before"
        return activation(norm(x)) if before else norm(activation(x))

    def _each_stage(self, name: str) -> tuple[int, ...]:
        """Returns an attribute's value for each stage."""
        value = getattr(self, name)
        if isinstance(value, int):
            return (value,) * len(self.features)
        if len(value) != len(self.features):
            raise ValueError(
                f"{name} must be one number or one for each of the "
                f"{len(self.features)} stages, got {value!r}."
            )
        return tuple(value)

    def _min_size(self) -> int:
        """Returns the smallest side that leaves a position, found from the end."""
        size = 1
        stages = zip(
            self._each_stage("convs_per_stage"),
            self._each_stage("kernel_size"),
            strict=True,
        )
        for convs, kernel in reversed(list(stages)):
            shrink = kernel - 1 - sum(conv_padding(self.padding, (kernel,))[0])
            if self.pool == "stride":
                size = 2 * (size - 1) + 1 + shrink
                convs -= 1
            else:
                size *= 2
            size = max(1, size + convs * shrink)
        return size


@register_model
def cnn(**kwargs: Any) -> Cnn:
    """The courses' CNN with every choice open; see `Cnn`.

    As it stands: 3x3 convolutions with 32 and 64 channels, ReLU, 2x2 max pools, one
    dense layer. 50,186 parameters and 3.87 MMACs at 28x28x1. Kernels start as LeCun
    normal, Flax's default, biases as zeros; `kernel_init="torch"` draws as PyTorch
    does.

    References:
        The pattern is LeCun et al., "Gradient-Based Learning Applied to Document
        Recognition", Proc. IEEE 86(11), 1998, section II,
        http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf.
    """
    return Cnn(**kwargs)


@register_model
def cnn1d(**kwargs: Any) -> Cnn:
    """A classifier of sequences, `[batch, length, channels]`; see `Cnn`.

    As it stands: convolutions over 5 positions with 32, 64 and 128 channels, each with
    BatchNorm, ReLU and a max pool over 2, then one dense layer. 73,098 parameters and
    2.11 MMACs for 128 positions of 6 channels, such as the windows of an accelerometer
    and a gyroscope. The dense layer fixes the length.

    References:
        The pattern is time-delay networks': Waibel et al., "Phoneme Recognition Using
        Time-Delay Neural Networks", IEEE Trans. ASSP 37(3), 1989,
        https://doi.org/10.1109/29.21701.
    """
    defaults = {"features": (32, 64, 128), "kernel_size": 5, "norm": "batch"}
    return Cnn(**{**defaults, **kwargs}, rank=1)


@register_model
def cnn3d(**kwargs: Any) -> Cnn:
    """A classifier of volumes, `[batch, depth, height, width, channels]`; see `Cnn`.

    As it stands: 3x3x3 convolutions with 16, 32 and 64 channels, each with BatchNorm,
    ReLU and a 2x2x2 max pool, then one dense layer. 74,906 parameters and 12.39 MMACs
    at 16x16x16x1. The dense layer fixes the size.

    References:
        The pattern is that of Ji et al., "3D Convolutional Neural Networks for Human
        Action Recognition", IEEE TPAMI 35(1), 2013,
        https://doi.org/10.1109/TPAMI.2012.59.
    """
    defaults = {"features": (16, 32, 64), "norm": "batch"}
    return Cnn(**{**defaults, **kwargs}, rank=3)
