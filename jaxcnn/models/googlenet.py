"""GoogLeNet (Inception-v1) with batch normalization, as torchvision has it."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.branches import (
    Branch,
    Branches,
    Unit,
    check_width,
    make_unit,
    scaled,
)
from jaxcnn.layers.checks import check_images, check_number
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.models.features import endpoints_of
from jaxcnn.ops import adaptive_avg_pool, global_average_pool, max_pool
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

#: Channels of the modules of each stage: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool
#: (table 1 of the paper).
_STAGES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class AuxHead(nn.Module):
    """A classifier on a map within the network: `conv`, `hidden` and `head`.

    Attributes:
        num_classes: Logits out.
        width: Multiplies the 128 channels of `conv` and the 1,024 units of `hidden`.
        dropout: Share of the hidden units dropped, in training.
        epsilon: Added to the variance by the norm.
        kernel_init: Initialiser of the convolution.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    num_classes: int
    width: float = 1.0
    dropout: float = 0.7
    epsilon: float = 1e-3
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        x = adaptive_avg_pool(x, 4)
        x = make_unit(self, train=train)(x, Unit(128), "conv")
        x = x.reshape(x.shape[0], -1)
        hidden = nn.Dense(
            scaled(1024, self.width),
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name="hidden",
        )
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(hidden(x)))
        return nn.Dense(self.num_classes, name="head")(x.astype(jnp.float32))


class GoogLeNet(nn.Module):
    """`conv1` to `conv3`, modules `inception3a`, `inception3b`, `inception4a`, ...

    Max pools of stride 2 that round sizes up (`ceil_mode`) follow `conv1`, `conv3` and
    all stages of modules but the last; `head` is behind a global average.

    torchvision's weights have 3x3 convolutions where the paper has 5x5, and so has this
    model; branches keep the paper's name.

    Attributes:
        stages: Channels of each module of each stage: the 1x1 branch; the 3x3 branch's
            1x1 and 3x3; the 5x5 branch's 1x1 and 3x3; the 1x1 behind the pool.
        width: Multiplies the channels of all layers.
        aux_heads: Whether `aux1` and `aux2` read the second stage, behind its first
            module and before its last. In training the model then returns
            `{"logits": ..., "aux": [aux1, aux2]}`; the paper adds 0.3 of their losses.
        dropout: Share of the features dropped before the head, in training.
        aux_dropout: The same within the auxiliary heads.
        kernel_init: Initialiser of the convolutions.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters, statistics and logits stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    stages: Sequence[Sequence[Sequence[int]]] = _STAGES
    width: float = 1.0
    aux_heads: bool = False
    dropout: float = 0.2
    aux_dropout: float = 0.7
    kernel_init: Initializer = he_normal_fan_out
    num_classes: int = 1000
    dtype: Dtype | None = None
    axis_name: str | None = None

    #: Of all norms (torchvision's).
    epsilon = 1e-3

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 0)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("aux_dropout", self.aux_dropout, 0, below=1, whole=False)
        check_width(self.width)
        if any(len(module) != 6 for stage in self.stages for module in stage):
            raise ValueError(
                f"stages needs six numbers for each module, got {self.stages!r}."
            )
        if self.aux_heads and (len(self.stages) < 2 or len(self.stages[1]) < 3):
            raise ValueError(
                "aux_heads=True needs a second stage of three modules or more, "
                f"got stages={self.stages!r}."
            )
        if self.aux_heads and not self.num_classes:
            raise ValueError("aux_heads=True needs classes, got num_classes=0.")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Any:
        """Returns logits `[batch, num_classes]`, float32; see `aux_heads`."""
        check_images(images, "GoogLeNet", 2 ** (2 + min(2, len(self.stages))) - 1)
        unit = make_unit(self, train=train)
        x = max_pool(unit(images, Unit(64, 7, 2), "conv1"), 3, 2, ceil_mode=True)
        x = unit(unit(x, Unit(64), "conv2"), Unit(192, 3), "conv3")
        x = max_pool(x, 3, 2, ceil_mode=True)
        aux_inputs = []
        for stage, modules in enumerate(self.stages):
            if stage:
                # torchvision's second pool of these is 2x2.
                x = max_pool(x, 3 if stage == 1 else 2, 2, ceil_mode=True)
            for number, channels in enumerate(modules):
                name = _name(stage, number)
                module = Branches(_branches(*channels), name=name, **self._settings())
                x = module(x, train=train)
                if stage == 1 and number in (0, len(modules) - 2):
                    aux_inputs.append(x)
        aux = self._aux(aux_inputs, train)
        x = global_average_pool(x.astype(jnp.float32))
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x
        return {"logits": x, "aux": aux} if self.aux_heads and train else x

    def _settings(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "epsilon": self.epsilon,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }

    def _aux(self, inputs: Sequence[Array], train: bool) -> list[Array]:
        """Returns the logits of the auxiliary heads where anybody needs them."""
        if not self.aux_heads or not (train or self.is_initializing()):
            return []
        settings = {"dropout": self.aux_dropout, **self._settings()}
        return [
            AuxHead(self.num_classes, name=f"aux{n}", **settings)(x, train=train)
            for n, x in enumerate(inputs, 1)
        ]


def _name(stage: int, number: int) -> str:
    """Returns the name of a module: `inception3a` is the first one of the first stage.

    Behind the 26 letters come those of the next rank, `inception4aa`, and so on.
    """
    rank, letter = divmod(number, 26)
    return f"inception{stage + 3}{'a' * rank}{chr(ord('a') + letter)}"


def _branches(
    one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int
) -> tuple[Branch, ...]:
    return (
        ("branch1x1", Unit(one)),
        ("branch3x3", Unit(reduce3), Unit(three, 3)),
        ("branch5x5", Unit(reduce5), Unit(five, 3)),
        ("branch_pool", "max", Unit(pool)),
    )


@endpoints_of(GoogLeNet)
def _endpoints(model: GoogLeNet) -> list[str]:
    stages = enumerate(model.stages)
    last = [_name(stage, len(modules) - 1) for stage, modules in stages]
    return ["conv1", "conv3", *last]


@register_model
def googlenet(**kwargs: Any) -> GoogLeNet:
    """GoogLeNet with BatchNorm, 6,624,904 parameters, 1.498 GMACs at 224.

    With `aux_heads=True` 13,004,888 parameters.

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1,
        https://arxiv.org/abs/1409.4842; BatchNorm is from Ioffe and Szegedy, ICML 2015,
        section 4.2, https://arxiv.org/abs/1502.03167.
    """
    return GoogLeNet(**kwargs)
