"""Inception-v3: factorised convolutions in five kinds of modules."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.branches import (
    Branch,
    Branches,
    MakeUnit,
    Unit,
    check_width,
    make_unit,
)
from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import avg_pool, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


def mixed(
    stage: int, modules: Sequence[Sequence[Branch]], first: str = "a"
) -> list[tuple[str, Sequence[Branch]]]:
    """Returns the modules of a stage with their names: `mixed_6a`, `mixed_6b`, ..."""
    return [
        (f"mixed_{stage}{chr(ord(first) + number)}", branches)
        for number, branches in enumerate(modules)
    ]


def inception_stem(images: Array, unit: MakeUnit) -> Array:
    """Returns what the first modules get: a ninth of the side, 192 channels."""
    x = unit(images, Unit(32, 3, 2, "valid"), "conv_1a")
    x = unit(x, Unit(32, 3, padding="valid"), "conv_2a")
    x = max_pool(unit(x, Unit(64, 3), "conv_2b"), 3, 2)
    x = unit(x, Unit(80), "conv_3b")
    return max_pool(unit(x, Unit(192, 3, padding="valid"), "conv_4a"), 3, 2)


def _module_a(pool: int) -> tuple[Branch, ...]:
    """Figure 5 of the paper, with a 5x5 kept in one branch."""
    return (
        ("branch1x1", Unit(64)),
        ("branch5x5", Unit(48), Unit(64, 5)),
        ("branch3x3dbl", Unit(64), Unit(96, 3), Unit(96, 3)),
        ("branch_pool", "avg", Unit(pool)),
    )


_MODULE_B = (
    ("branch3x3", Unit(384, 3, 2, "valid")),
    ("branch3x3dbl", Unit(64), Unit(96, 3), Unit(96, 3, 2, "valid")),
    ("branch_pool", "halve"),
)


def _module_c(c: int) -> tuple[Branch, ...]:
    """Figure 6: a 7x7 as 1x7 and 7x1."""
    wide, tall = (1, 7), (7, 1)
    return (
        ("branch1x1", Unit(192)),
        ("branch7x7", Unit(c), Unit(c, wide), Unit(192, tall)),
        (
            "branch7x7dbl",
            *(Unit(c), Unit(c, tall), Unit(c, wide), Unit(c, tall), Unit(192, wide)),
        ),
        ("branch_pool", "avg", Unit(192)),
    )


_MODULE_D = (
    ("branch3x3", Unit(192), Unit(320, 3, 2, "valid")),
    (
        "branch7x7x3",
        *(Unit(192), Unit(192, (1, 7)), Unit(192, (7, 1)), Unit(192, 3, 2, "valid")),
    ),
    ("branch_pool", "halve"),
)

#: Figure 7: 1x3 and 3x1 side by side.
_FORK = (Unit(384, (1, 3)), Unit(384, (3, 1)))
_MODULE_E = (
    ("branch1x1", Unit(320)),
    ("branch3x3", Unit(384), _FORK),
    ("branch3x3dbl", Unit(448), Unit(384, 3), _FORK),
    ("branch_pool", "avg", Unit(192)),
)


class AuxHead(nn.Module):
    """A classifier on a map within the network: `conv1`, `conv2` and `head`.

    Attributes:
        num_classes: Logits out.
        width: Multiplies the 128 and 768 channels of the convolutions.
        epsilon: Added to the variance by the norms.
        kernel_init: Initialiser of the convolutions.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    num_classes: int
    width: float = 1.0
    epsilon: float = 1e-3
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        unit = make_unit(self, train=train)
        x = unit(avg_pool(x, 5, 3), Unit(128), "conv1")
        x = unit(x, Unit(768, 5, padding="valid"), "conv2")
        x = global_average_pool(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="head")(x)


class InceptionV3(nn.Module):
    """Convolutions `conv_1a` to `conv_4a`, modules `mixed_5b` to `mixed_7c`, `head`.

    Layers keep the names of the first implementation. `mixed_6a` and `mixed_7a` halve
    the map; convolutions and pools that halve do not pad, so the smallest image is
    75x75.

    Attributes:
        pool_features: Channels behind the pool of each module `mixed_5b`, `mixed_5c`,
            ...
        channels_7x7: Channels within the 7x7 branches of each module `mixed_6b`, ...
        last_modules: How many modules `mixed_7b`, ... there are.
        width: Multiplies the channels of all layers.
        aux_heads: Whether `aux` reads the last module before `mixed_7a`, in training,
            when the model returns `{"logits": ..., "aux": [logits]}`. It needs images
            of 299x299 or more. TF-slim adds 0.4 of its loss.
        dropout: Share of the features dropped before the head, in training.
        kernel_init: Initialiser of the convolutions.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    pool_features: Sequence[int] = (32, 64, 64)
    channels_7x7: Sequence[int] = (128, 160, 160, 192)
    last_modules: int = 2
    width: float = 1.0
    aux_heads: bool = False
    dropout: float = 0.5
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    #: Of all norms, as in all implementations.
    epsilon = 1e-3

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("last_modules", self.last_modules, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_numbers("pool_features", self.pool_features, 1)
        check_numbers("channels_7x7", self.channels_7x7, 1)
        check_width(self.width)
        if self.aux_heads and not self.num_classes:
            raise ValueError("aux_heads=True needs classes, got num_classes=0.")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Any:
        """Returns logits `[batch, num_classes]`, float32; see `aux_heads`."""
        with_aux = self.aux_heads and (train or self.is_initializing())
        check_images(images, "InceptionV3", 299 if with_aux else 75)
        unit = make_unit(self, train=train)
        x = inception_stem(images, unit)
        settings = {
            "width": self.width,
            "epsilon": self.epsilon,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        aux = []
        for name, branches in self._modules():
            if name == "mixed_7a" and with_aux:
                head = AuxHead(self.num_classes, name="aux", **settings)
                aux = [head(x, train=train)]
            x = Branches(branches, name=name, **settings)(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x
        return {"logits": x, "aux": aux} if self.aux_heads and train else x

    def _modules(self) -> list[tuple[str, Sequence[Branch]]]:
        """Returns the modules in turn, with their names."""
        return [
            *mixed(5, [_module_a(pool) for pool in self.pool_features], first="b"),
            *mixed(6, [_MODULE_B, *map(_module_c, self.channels_7x7)]),
            *mixed(7, [_MODULE_D, *[_MODULE_E] * self.last_modules]),
        ]


@endpoints_of(InceptionV3)
def _endpoints(model: InceptionV3) -> list[str]:
    names = [name for name, _ in model._modules()]
    last = {name[: len("mixed_5")]: name for name in names}
    return ["conv_2b", "conv_4a", *last.values()]


@register_model
def inception_v3(**kwargs: Any) -> InceptionV3:
    """Inception-v3, 23,834,568 parameters, 5.713 GMACs at 299.

    With `aux_heads=True` 27,161,264 parameters.

    References:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
        CVPR 2016, table 1, https://arxiv.org/abs/1512.00567.
    """
    return InceptionV3(**kwargs)
