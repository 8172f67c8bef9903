"""Inception-v4: a deeper Inception with one kind of module for each size of the map."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.branches import Branch, Branches, Unit, check_width, make_unit
from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.models.inception_v3 import mixed
from jaxcnn.ops import global_average_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_WIDE, _TALL = (1, 7), (7, 1)

#: Figure 3 of the paper: the rest of the stem.
_STEM = (
    ("mixed_3a", (("branch_pool", "halve"), ("branch3x3", Unit(96, 3, 2, "valid")))),
    (
        "mixed_4a",
        (
            ("branch3x3", Unit(64), Unit(96, 3, padding="valid")),
            (
                "branch7x7",
                *(Unit(64), Unit(64, _WIDE), Unit(64, _TALL)),
                Unit(96, 3, padding="valid"),
            ),
        ),
    ),
    ("mixed_5a", (("branch3x3", Unit(192, 3, 2, "valid")), ("branch_pool", "halve"))),
)

#: Figure 4.
_MODULE_A = (
    ("branch1x1", Unit(96)),
    ("branch3x3", Unit(64), Unit(96, 3)),
    ("branch3x3dbl", Unit(64), Unit(96, 3), Unit(96, 3)),
    ("branch_pool", "avg_inside", Unit(96)),
)

#: Figure 7, with the numbers of table 1.
_REDUCTION_A = (
    ("branch3x3", Unit(384, 3, 2, "valid")),
    ("branch3x3dbl", Unit(192), Unit(224, 3), Unit(256, 3, 2, "valid")),
    ("branch_pool", "halve"),
)

#: Figure 5.
_MODULE_B = (
    ("branch1x1", Unit(384)),
    ("branch7x7", Unit(192), Unit(224, _WIDE), Unit(256, _TALL)),
    (
        "branch7x7dbl",
        *(Unit(192), Unit(192, _TALL), Unit(224, _WIDE)),
        *(Unit(224, _TALL), Unit(256, _WIDE)),
    ),
    ("branch_pool", "avg_inside", Unit(128)),
)

#: Figure 8.
_REDUCTION_B = (
    ("branch3x3", Unit(192), Unit(192, 3, 2, "valid")),
    (
        "branch7x7x3",
        *(Unit(256), Unit(256, _WIDE), Unit(320, _TALL), Unit(320, 3, 2, "valid")),
    ),
    ("branch_pool", "halve"),
)

#: Figure 6.
_FORK = (Unit(256, (1, 3)), Unit(256, (3, 1)))
_MODULE_C = (
    ("branch1x1", Unit(256)),
    ("branch3x3", Unit(384), _FORK),
    ("branch3x3dbl", Unit(384), Unit(448, (3, 1)), Unit(512, (1, 3)), _FORK),
    ("branch_pool", "avg_inside", Unit(256)),
)


class InceptionV4(nn.Module):
    """Convolutions `conv_1a` to `conv_2b`, modules `mixed_3a` to `mixed_7d`, `head`.

    Layers keep the names of the first implementation. `mixed_3a`, `mixed_5a`,
    `mixed_6a` and `mixed_7a` halve the map and do not pad, so the smallest image is
    75x75. Padded zeros do not count in the average pools.

    Attributes:
        blocks: How many modules follow each of `mixed_5a`, `mixed_6a` and `mixed_7a`.
        width: Multiplies the channels of all layers.
        dropout: Share of the features dropped before the head, in training.
        kernel_init: Initialiser of the convolutions.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    blocks: Sequence[int] = (4, 7, 3)
    width: float = 1.0
    dropout: float = 0.2
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    #: Of all norms, as in all implementations.
    epsilon = 1e-3

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_width(self.width)
        check_numbers("blocks", self.blocks, 0)
        if len(self.blocks) != 3:
            raise ValueError(f"blocks needs three numbers, got {self.blocks!r}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "InceptionV4", 75)
        unit = make_unit(self, train=train)
        x = unit(images, Unit(32, 3, 2, "valid"), "conv_1a")
        x = unit(x, Unit(32, 3, padding="valid"), "conv_2a")
        x = unit(x, Unit(64, 3), "conv_2b")
        for name, branches in self._modules():
            x = Branches(
                branches,
                self.width,
                self.epsilon,
                kernel_init=self.kernel_init,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name=name,
            )(x, train=train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x

    def _modules(self) -> list[tuple[str, Sequence[Branch]]]:
        """Returns the modules in turn, with their names."""
        a, b, c = self.blocks
        return [
            *_STEM,
            *mixed(5, [_MODULE_A] * a, first="b"),
            *mixed(6, [_REDUCTION_A, *[_MODULE_B] * b]),
            *mixed(7, [_REDUCTION_B, *[_MODULE_C] * c]),
        ]


@endpoints_of(InceptionV4)
def _endpoints(model: InceptionV4) -> list[str]:
    last = {name[: len("mixed_5")]: name for name, _ in model._modules()}
    return ["conv_2b", *(last[f"mixed_{stage}"] for stage in (4, 5, 6, 7))]


@register_model
def inception_v4(**kwargs: Any) -> InceptionV4:
    """Inception-v4, 42,679,816 parameters, 12.254 GMACs at 299.

    References:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual
        Connections on Learning", AAAI 2017, figure 9, https://arxiv.org/abs/1602.07261.
    """
    return InceptionV4(**kwargs)
