"""Pools written out position by position against XLA's, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.ops import avg_pool, max_pool
from jaxcnn.ops.overlapping import Windows, unrolled_max_pool, unrolled_sum_pool

TABLE = [
    # image, window, stride, padding
    ((7, 8), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((6, 5), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((9, 7), (3, 3), (2, 2), ((0, 0), (0, 0))),
    ((8, 7), (2, 3), (3, 1), ((0, 1), (2, 0))),
    ((9,), (2,), (3,), ((1, 1),)),
    ((4, 5, 6), (2, 2, 2), (1, 2, 1), ((0, 0), (1, 1), (0, 1))),
]


def gradients(function, x):
    y, pull = jax.vjp(function, x)
    weights = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    return y, pull(weights)[0]


def ties(shape):
    values = np.random.default_rng(0).integers(-1, 2, (2, *shape, 3))
    return values.astype(np.float32)


def compare(ours, theirs, x):
    pairs = jax.jit(lambda x: (gradients(ours, x), gradients(theirs, x)))(x)
    for mine, reference in zip(*pairs, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-5)


@pytest.mark.parametrize(("shape", *Windows._fields), TABLE)
def test_the_largest_value_and_its_gradient(shape, size, stride, padding):
    windows = Windows(size, stride, padding)
    compare(
        lambda x: unrolled_max_pool(x, windows),
        lambda x: nn.max_pool(x, size, stride, padding),
        ties(shape),
    )


@pytest.mark.thorough
@pytest.mark.parametrize(("shape", *Windows._fields), TABLE[::2])
def test_the_sum_and_its_gradient(shape, size, stride, padding):
    windows = Windows(size, stride, padding)
    compare(
        lambda x: unrolled_sum_pool(x, windows),
        lambda x: nn.avg_pool(x, size, stride, padding) * np.prod(size),
        ties(shape),
    )


@pytest.mark.thorough
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("padding", [((1, 1), (0, 1)), "SAME"])
def test_the_mean_and_its_gradient(include, padding):
    options = {"count_include_pad": include}
    compare(
        lambda x: avg_pool(x, 3, 2, padding, **options),
        lambda x: nn.avg_pool(x, (3, 3), (2, 2), padding, **options),
        ties((7, 6)),
    )


@pytest.mark.thorough
def test_every_order_and_mode_of_differentiation(key):
    x = jax.random.normal(key, (1, 4, 5, 1))

    def hessian(pool):
        return jax.jit(jax.hessian(lambda x: (pool(x**2) ** 2).sum()))(x)

    theirs = hessian(lambda x: nn.max_pool(x, (3, 3), (2, 2), "SAME"))
    np.testing.assert_allclose(
        hessian(lambda x: max_pool(x, 3, 2, "SAME")), theirs, atol=1e-4
    )
    stacked = jax.vmap(lambda x: max_pool(x, 3, 2, 1))(x[:, None])
    np.testing.assert_array_equal(stacked[0], max_pool(x, 3, 2, 1))


def test_padding_never_wins_over_the_lowest_value():
    x = jnp.full((1, 3, 3, 1), -jnp.inf)
    y, gradient = gradients(lambda x: max_pool(x, 2, 1, 1), x)
    assert np.all(y == -np.inf)
    # Every window gives its share to a position inside; XLA's loses some here.
    weights = np.random.default_rng(1).normal(size=y.shape)
    np.testing.assert_allclose(gradient.sum(), weights.sum(), rtol=1e-5)


@pytest.mark.thorough
def test_bfloat16_and_integers_keep_their_types(key):
    x = jax.random.normal(key, (1, 5, 5, 2), jnp.bfloat16)
    assert max_pool(x, 3, 2, 1).dtype == avg_pool(x, 3, 2, 1).dtype == jnp.bfloat16
    inside = avg_pool(x, 3, 1, 1, count_include_pad=False)
    assert inside.dtype == jnp.bfloat16  # Flax's would be float32
    whole = jnp.arange(25).reshape(1, 5, 5, 1)
    np.testing.assert_array_equal(
        max_pool(whole, 3, 2)[0, :, :, 0], [[12, 14], [22, 24]]
    )


def scatters(platform):
    x = jax.ShapeDtypeStruct((1, 6, 6, 2), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, 3, 2, 1).sum()))
    text = gradient.trace(x).lower(lowering_platforms=(platform,)).as_text()
    return "select_and_scatter" in text


@pytest.mark.parametrize(
    ("flags", "gpu"),
    [
        ("", True),
        ("--xla_gpu_deterministic_ops=true", False),
        ("--xla_gpu_deterministic_ops=false", True),
    ],
)
def test_gpus_scatter_unless_they_must_be_deterministic(monkeypatch, flags, gpu):
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert scatters("cuda") is gpu
    assert not scatters("cpu")
    assert scatters("tpu")
