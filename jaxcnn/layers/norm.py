"""Normalisation layers by name, with the constants that published networks use."""

import functools
import math
from typing import Any

from flax import linen as nn

from jaxcnn.layers.checks import check_choice
from jaxcnn.typing import Dtype

#: BatchNorm with the momentum (0.9, which PyTorch calls 0.1) and epsilon of the
#: published networks. Statistics are float32 under any `dtype`; the running variance
#: is the biased one, where PyTorch keeps the unbiased one.
batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)

#: `batch`: over batch and positions. `layer`: over the channels of each position.
#: `group`: over positions and each of 32 groups of channels (fewer where 32 does not
#: divide the channels). `instance`: over the positions of each channel.
NORMS = ("batch", "layer", "group", "instance")


def make_norm(
    kind: str,
    channels: int,
    *,
    train: bool,
    dtype: Dtype | None = None,
    axis_name: str | None = None,
    name: str | None = None,
) -> nn.Module:
    """Returns the normalisation layer called `kind`, with epsilon 1e-5.

    Args:
        kind: One of `NORMS`.
        channels: Size of the last axis of its input.
        train: Whether BatchNorm takes the batch's statistics, and updates its own.
        dtype: Computation type.
        axis_name: The mapped axis over which BatchNorm shares statistics, under
            `pmap` or `shard_map` alone.
        name: The layer's name within its parent.

    Raises:
        ValueError: if `kind` is unknown.

    References:
        Ioffe and Szegedy, "Batch Normalization", ICML 2015,
        https://arxiv.org/abs/1502.03167; Ba et al., "Layer Normalization", 2016,
        https://arxiv.org/abs/1607.06450; Wu and He, "Group Normalization", ECCV 2018,
        https://arxiv.org/abs/1803.08494 (32 groups: table 3); Ulyanov et al.,
        "Instance Normalization", 2016, https://arxiv.org/abs/1607.08022.
    """
    check_choice("norm", kind, NORMS)
    options: dict[str, Any] = {"epsilon": 1e-5, "dtype": dtype, "name": name}
    if kind == "batch":
        return batch_norm(
            use_running_average=not train, axis_name=axis_name, dtype=dtype, name=name
        )
    if kind == "layer":
        return nn.LayerNorm(**options)
    if kind == "group":
        return nn.GroupNorm(num_groups=math.gcd(32, channels), **options)
    return nn.GroupNorm(num_groups=None, group_size=1, **options)
