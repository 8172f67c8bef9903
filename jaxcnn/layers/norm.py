"""Normalisation layers by name, with the constants that published networks use."""

import functools
import math
from typing import Any

from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.ops.local_response import local_response_norm
from jaxcnn.typing import Array, Dtype

#: BatchNorm with the momentum (0.9, which PyTorch calls 0.1) and epsilon of the
#: published networks. Statistics are float32 under any `dtype`; the running variance
#: is the biased one, where PyTorch keeps the unbiased one.
batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)

#: What mean and variance are taken over, for each of the others' indices:
#: `batch`, of each channel over batch and positions;
#: `layer`, of each position over its channels (ConvNeXt's and the transformers');
#: `layer_example`, of each example over positions and channels (the paper's);
#: `group`, of each example and each of 32 groups of channels over positions and the
#: group's channels (fewer groups where 32 does not divide the channels);
#: `instance`, of each example and channel over positions.
#: `local_response` has neither mean nor parameters: see `LocalResponseNorm`.
NORMS = ("batch", "layer", "layer_example", "group", "instance", "local_response")


def make_norm(
    kind: str,
    channels: int,
    *,
    train: bool,
    dtype: Dtype | None = None,
    axis_name: str | None = None,
    name: str | None = None,
) -> nn.Module:
    r"""Returns the normalisation layer called `kind`, with epsilon 1e-5.

    All but `"local_response"` compute, with :math:`\mu` and :math:`\sigma^2` over the
    axes that `NORMS` gives, and with one learned :math:`\gamma` (`scale`) and
    :math:`\beta` (`bias`) for each channel,

    .. math:: y = \gamma (x - \mu) / \sqrt{\sigma^2 + 10^{-5}} + \beta.

    Ba et al. learn a scale and a bias for each value of an example, which fixes the
    image's size; `"layer_example"` learns them for each channel, and is group norm with
    one group (Wu and He, section 3.1). For theirs, and PyTorch's `LayerNorm` over
    `[channels, height, width]`, take Flax's
    `nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3))`.

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
    if kind == "local_response":
        return LocalResponseNorm(name=name)
    options: dict[str, Any] = {"epsilon": 1e-5, "dtype": dtype, "name": name}
    if kind == "batch":
        return batch_norm(
            use_running_average=not train, axis_name=axis_name, dtype=dtype, name=name
        )
    if kind == "layer":
        return nn.LayerNorm(**options)
    if kind == "layer_example":
        return nn.GroupNorm(num_groups=1, **options)
    if kind == "group":
        return nn.GroupNorm(num_groups=math.gcd(32, channels), **options)
    return nn.GroupNorm(num_groups=None, group_size=1, **options)


class LocalResponseNorm(nn.Module):
    """AlexNet's normalisation across channels; see `jaxcnn.ops.local_response_norm`.

    It has no parameters, and stands behind the activation.

    Attributes:
        size: Channels in the sum of squares.
        alpha: Weight of the sum.
        beta: The exponent.
        k: What is added to the sum; PyTorch's default is 1.
        divide_by_size: Whether `alpha` is divided by `size`, as PyTorch and Caffe do
            and the paper does not.

    References:
        Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
        Convolutional Neural Networks", NeurIPS 2012, section 3.3,
        https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_by_size: bool = False

    def __post_init__(self) -> None:
        check_number("size", self.size, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns an array of the shape that came."""
        return local_response_norm(
            x,
            self.size,
            alpha=self.alpha,
            beta=self.beta,
            k=self.k,
            divide_by_size=self.divide_by_size,
        )
