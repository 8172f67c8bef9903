"""Small nets and batches that the tests of the training share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn


class Linear(nn.Module):
    """One dense layer on flattened images, so that gradients are worked out by hand."""

    features: int = 1

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(self.features, use_bias=False, name="head")(
            x.reshape(len(x), -1)
        )


class ConvNet(nn.Module):
    """A convolution, batch norm and dropout: all that makes devices differ."""

    dropout: float = 0.0
    axis_name: str | None = None
    features: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x, *, train=False):
        # A bias before batch norm has rounding for a gradient, and Adam scales it up.
        conv = nn.Conv(
            self.features, (3, 3), use_bias=False, dtype=self.dtype, name="conv"
        )
        x = conv(x)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            axis_name=self.axis_name,
            name="norm",
        )(x)
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(3, name="head")(x)


def batch_of(k: int, size: int = 16) -> dict[str, np.ndarray]:
    """Returns batch k: uint8 images 6x6x1, three classes of other brightness."""
    random = np.random.default_rng([7, k])
    labels = random.integers(0, 3, size).astype(np.int32)
    noise = random.integers(0, 60, (size, 6, 6, 1))
    images = (noise + 80 * labels[:, None, None, None]).astype(np.uint8)
    return {"image": images, "label": labels}


class Batches:
    """Training data: batch k is `batch_of(k % 10)`."""

    steps_per_epoch = 10

    def __getitem__(self, k):
        return batch_of(k % 10)


def key_data(state):
    """Returns the state with its key as plain integers, for comparisons."""
    return state.replace(rng=jax.random.key_data(state.rng))


def leaves(state):
    return [np.asarray(x) for x in jax.tree.leaves(key_data(state))]


def assert_same(one, two):
    """Asserts that two states are equal bit for bit."""
    for a, b in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_close(one, two, atol):
    for a, b in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


EXAMPLE = jax.ShapeDtypeStruct((1, 6, 6, 1), jnp.uint8)
