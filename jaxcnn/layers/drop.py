"""Layers that drop parts of their input in training."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array


class Dropout(nn.Module):
    """Drops values, each by itself, in training.

    Values that are kept are divided by `1 - rate`, so that the expectation stays; in
    evaluation the input passes unchanged. Keys come from the collection `"dropout"`.

    Attributes:
        rate: Share of values that are dropped, in `[0, 1)`.

    References:
        Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
        Overfitting", JMLR 15, 2014, section 10 (the scaling in training),
        https://jmlr.org/papers/v15/srivastava14a.html.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns the shape that came, zero where values are dropped."""
        return _drop(self, x, x.shape) if train and self.rate else x


class SpatialDropout(nn.Module):
    """Drops whole channels of each example, in training.

    Neighbours in a feature map are alike, so that dropping single values takes little
    away. Channels that are kept are divided by `1 - rate`; in evaluation the input
    passes unchanged. Keys come from the collection `"dropout"`.

    Attributes:
        rate: Share of channels that are dropped, in `[0, 1)`.

    References:
        Tompson et al., "Efficient Object Localization Using Convolutional Networks",
        CVPR 2015, section 3.2, https://arxiv.org/abs/1411.4280.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, *spatial, channels]`, zero in the channels dropped."""
        if not train or not self.rate:
            return x
        return _drop(self, x, (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1]))


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch of whole examples, in training.

    Examples that are kept are divided by `1 - rate`, so that the expectation stays; in
    evaluation the input passes unchanged. Keys come from the collection `"dropout"`.

    Attributes:
        rate: Share of examples whose branch is dropped, in `[0, 1)`.

    References:
        Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016,
        https://arxiv.org/abs/1603.09382.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, ...]`, zero for the examples that are dropped."""
        if not train or not self.rate:
            return x
        return _drop(self, x, (x.shape[0],) + (1,) * (x.ndim - 1))


class DropBlock(nn.Module):
    r"""Drops blocks of neighbouring positions, in training.

    Blocks are centred where a Bernoulli variable of probability

    .. math:: \gamma = \text{rate} \prod_a \frac{n_a}{b_a (n_a - b_a + 1)}

    is 1, over the axes :math:`a` of size :math:`n` and block size :math:`b`, and lie
    wholly inside. As blocks overlap, slightly less than `rate` is dropped. What is kept
    is multiplied by all positions over those kept, counted over the whole batch. In
    evaluation the input passes unchanged. Keys come from the collection `"dropout"`.

    Attributes:
        rate: Share of positions that are dropped, in `[0, 1)`: 1 less the paper's
            `keep_prob`.
        block_size: Side of a block; along a shorter axis it is that axis.
        per_channel: Whether each channel has blocks of its own, or all share them.

    References:
        Ghiasi, Lin and Le, "DropBlock: A regularization method for convolutional
        networks", NeurIPS 2018, algorithm 1 and equation 1,
        https://arxiv.org/abs/1810.12890.
    """

    rate: float
    block_size: int = 7
    per_channel: bool = True

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        check_number("block_size", self.block_size, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, *spatial, channels]`, zero in the blocks dropped.

        Raises:
            ValueError: if the input has no spatial axis.
        """
        if x.ndim < 3:
            raise ValueError(
                "DropBlock needs [batch, *spatial, channels], got shape "
                f"{tuple(x.shape)}."
            )
        if not train or not self.rate:
            return x
        spatial = x.shape[1:-1]
        block = [min(self.block_size, n) for n in spatial]
        # Only where whole blocks fit: the first position stands for the block.
        corners = [n - b + 1 for n, b in zip(spatial, block, strict=True)]
        gamma = self.rate
        for n, b, valid in zip(spatial, block, corners, strict=True):
            gamma *= n / (b * valid)
        channels = x.shape[-1] if self.per_channel else 1
        seeds = jax.random.bernoulli(
            self.make_rng("dropout"), min(gamma, 1.0), (x.shape[0], *corners, channels)
        )
        edges = [(b - 1, b - 1) for b in block]
        dropped = nn.max_pool(
            seeds.astype(jnp.float32), tuple(block), padding=edges
        ).astype(bool)
        kept = jnp.maximum(1, jnp.sum(~dropped))  # 1: everything may be dropped
        scale = (dropped.size / kept).astype(x.dtype)
        return jnp.where(dropped, jnp.zeros_like(x), x * scale)


def _check_rate(rate: float) -> None:
    check_number("rate", rate, 0, below=1, whole=False)


def _drop(layer: nn.Module, x: Array, shape: tuple[int, ...]) -> Array:
    """Returns `x` with parts of `shape` dropped at random, the rest scaled up."""
    share = 1 - layer.rate
    kept = jax.random.bernoulli(layer.make_rng("dropout"), share, shape)
    return jnp.where(kept, x / share, jnp.zeros_like(x))
