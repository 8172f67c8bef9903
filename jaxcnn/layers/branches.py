"""Chains of convolutions side by side: the Inception module, as a table."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.layers.conv import ConvNorm, Padding, Size
from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.ops import avg_pool, max_pool
from jaxcnn.typing import Array, Dtype


class Unit(NamedTuple):
    """A convolution of a branch, with BatchNorm and ReLU behind it.

    Attributes:
        features: Channels out, before the network's width is multiplied in.
        kernel_size: One number, or one for each spatial axis.
        stride: Step.
        padding: As in `conv_padding`.
    """

    features: int
    kernel_size: Size = 1
    stride: int = 1
    padding: Padding = "same"


#: The 3x3 pools of a branch: `max` and `avg` have stride 1 and keep the size; padded
#: zeros count in the mean of `avg`, and do not in that of `avg_inside`. `halve` is a
#: max pool of stride 2 that does not pad.
POOLS = ("max", "avg", "avg_inside", "halve")

#: The name of a branch, then what it does in turn: a `Unit`, a name of `POOLS` or, as
#: the last step, a tuple of units side by side.
Branch = Sequence[str | Unit | Sequence[Unit]]
MakeUnit = Callable[[Array, Unit, str], Array]


class Branches(nn.Module):
    """Runs each branch on the same input and concatenates what comes out.

    Submodules are `ConvNorm`s named after their branch: `branch3x3` if it has one,
    `branch3x3_1`, `branch3x3_2`, ... if it has several. Those side by side at the end
    of a branch are `branch3x3_2a` and `branch3x3_2b`.

    Attributes:
        branches: The branches in the order of their channels; see `Branch`.
        width: Multiplies the features of all units.
        epsilon: Added to the variance by the norms.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 4,
        https://arxiv.org/abs/1409.4842.
    """

    branches: Sequence[Branch]
    width: float = 1.0
    epsilon: float = 1e-3
    kernel_init: Initializer = he_normal_fan_out
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, height, width, channels of all branches]`."""
        return run_branches(x, self.branches, make_unit(self, train=train))


def make_unit(module: Any, *, train: bool) -> MakeUnit:
    """Returns `unit(x, spec, name)`, which runs a `Unit` as a submodule of `module`.

    Args:
        module: Its fields `width`, `epsilon`, `kernel_init`, `dtype` and `axis_name`
            are those of `Branches`.
        train: Whether the norms take the batch's statistics.
    """

    def unit(x: Array, spec: Unit, name: str) -> Array:
        return ConvNorm(
            scaled(spec.features, module.width),
            spec.kernel_size,
            spec.stride,
            spec.padding,
            activation="relu",
            epsilon=module.epsilon,
            kernel_init=module.kernel_init,
            dtype=module.dtype,
            axis_name=module.axis_name,
            name=name,
        )(x, train=train)

    return unit


def run_branches(x: Array, branches: Sequence[Branch], unit: MakeUnit) -> Array:
    """Returns the outputs of all branches, concatenated along the channels.

    For a block that does more than this; one that does no more is `Branches`.
    """
    outputs = [_run_branch(x, name, steps, unit) for name, *steps in branches]
    return jnp.concatenate(outputs, axis=-1)


def _run_branch(x: Array, name: str, steps: Sequence[Any], unit: MakeUnit) -> Array:
    only = sum(not isinstance(step, str) for step in steps) == 1
    number = 0
    for step in steps:
        if isinstance(step, str):
            x = _pool(x, step)
            continue
        number += 1
        path = name if only else f"{name}_{number}"
        if isinstance(step, Unit):
            x = unit(x, step, path)
        else:
            sides = zip(step, "abc", strict=False)
            x = jnp.concatenate([unit(x, s, path + letter) for s, letter in sides], -1)
    return x


def _pool(x: Array, kind: str) -> Array:
    check_choice("pool", kind, POOLS)
    if kind == "halve":
        return max_pool(x, 3, 2)
    if kind == "max":
        return max_pool(x, 3, 1, 1)
    return avg_pool(x, 3, 1, 1, count_include_pad=kind == "avg")


def scaled(features: int, width: float) -> int:
    """Returns the channels of a layer in a network of another width, at least 1.

    Example:
        >>> scaled(192, 0.25), scaled(3, 0.1)
        (48, 1)
    """
    return max(1, round(features * width))


def check_width(width: float) -> None:
    """Raises ValueError unless a network's width is a number above 0."""
    check_number("width", width, 0, whole=False)
    if not width:
        raise ValueError("width must be above 0, got 0.")
