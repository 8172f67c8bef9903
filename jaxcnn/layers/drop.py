"""Layers that drop parts of their input in training."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array


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
        check_number("rate", self.rate, 0, below=1, whole=False)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, ...]`, zero for the examples that are dropped."""
        if not train or not self.rate:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))
