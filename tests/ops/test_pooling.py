"""Pooling against Flax's, against tables, and the gradient's choice among ties."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops import avg_pool, global_average_pool, max_pool


def image(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


@pytest.mark.parametrize(
    ("rows", "pooled"),
    [
        ([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], [[6, 8], [3, 4]]),
        ([[1, 3, 1, 2], [9, 5, 6, 5], [9, 1, 1, 2], [0, 2, 8, 2]], [[9, 6], [9, 8]]),
    ],
)
def test_worked_examples(rows, pooled):
    np.testing.assert_array_equal(max_pool(image(rows), 2)[0, :, :, 0], pooled)


CASES = [
    # spatial shape, window, stride, padding; the first block takes the fast way
    ((4, 6), 2, None, "VALID"),
    ((5, 7), 2, None, "VALID"),
    ((7, 8), (3, 2), None, "VALID"),
    ((9, 9), 4, 4, 0),
    ((9,), 2, None, "valid"),
    ((4, 5, 6), 2, None, "VALID"),
    ((3, 3), 1, None, "VALID"),
    ((12, 15), 5, None, "VALID"),
    ((7, 7), 3, 2, 1),
    ((7, 7), 3, 1, "SAME"),
    ((5, 5), 2, 2, "SAME"),
    ((6, 7), 2, None, [(0, 0), (1, 0)]),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("shape", "window", "stride", "padding"), CASES)
def test_equals_flax_forward_and_backward(shape, window, stride, padding):
    # Few distinct values: every window holds ties, as after a ReLU.
    random = np.random.default_rng(0)
    x = random.integers(0, 3, (2, *shape, 3)).astype(np.float32)
    rank = len(shape)
    windows = (window,) * rank if isinstance(window, int) else window
    strides = windows if stride is None else (stride,) * rank
    paddings = [(padding,) * 2] * rank if isinstance(padding, int) else padding
    paddings = paddings.upper() if isinstance(paddings, str) else paddings

    def reference(x):
        return nn.max_pool(x, windows, strides, paddings)

    def ours(x):
        return max_pool(x, window, stride, padding)

    @jax.jit
    def both(x):
        expected, pull_reference = jax.vjp(reference, x)
        y, pull = jax.vjp(ours, x)
        weights = random.normal(size=y.shape).astype(np.float32)
        return y, expected, pull(weights)[0], pull_reference(weights)[0]

    y, expected, gradient, expected_gradient = both(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_the_same_without_jit(key):
    x = jax.random.normal(key, (1, 5, 4, 2))
    gradient = jax.grad(lambda x: (max_pool(x, 2) ** 2).sum())
    np.testing.assert_array_equal(gradient(x), jax.jit(gradient)(x))


def test_the_first_of_equal_values_takes_the_gradient():
    x = image([[0, 0, 1, 2, 5], [0, 0, 2, 2, 5], [3, 3, 4, 4, 5]])
    gradient = jax.grad(lambda x: max_pool(x, 2).sum())(x)[0, :, :, 0]
    expected = [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.thorough
def test_forward_mode_second_order_and_vmap_work(key):
    x = jax.random.normal(key, (2, 4, 4, 1))
    t = jnp.ones_like(x)
    y, dy = jax.jvp(lambda x: max_pool(x**2, 2), (x,), (t,))
    expected = jax.jvp(lambda x: nn.max_pool(x**2, (2, 2), (2, 2)), (x,), (t,))
    np.testing.assert_allclose(dy, expected[1], atol=1e-6)
    hessian = jax.jit(jax.hessian(lambda x: max_pool(x**2, 2).sum()))(x)
    hessian = hessian.reshape(32, 32)
    np.testing.assert_allclose(jnp.trace(hessian), 2.0 * y.size)
    stacked = jax.vmap(lambda x: max_pool(x, 2))(x[:, None])
    np.testing.assert_array_equal(stacked[:, 0], max_pool(x, 2))


def test_bfloat16_stays_bfloat16(key):
    x = jax.random.normal(key, (1, 4, 4, 2), jnp.bfloat16)
    assert max_pool(x, 2).dtype == jnp.bfloat16
    assert jax.grad(lambda x: max_pool(x, 2).sum())(x).dtype == jnp.bfloat16


def test_average_pool_counts_padding_unless_told_not_to():
    rows = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3]]
    rows += [[2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    inner = avg_pool(image(rows), 3, 1)[0, :, :, 0]
    expected = [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]]
    np.testing.assert_allclose(inner, expected, atol=0.05)
    ones = jnp.ones((1, 3, 3, 1))
    padded = avg_pool(ones, 3, 1, 1)
    np.testing.assert_allclose(padded[0, 0, 0, 0], 4 / 9, rtol=1e-6)
    padded = avg_pool(ones, 3, 1, 1, count_include_pad=False)
    np.testing.assert_allclose(padded, ones, rtol=1e-6)


def test_global_average_pool_of_any_rank():
    x = jnp.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_allclose(global_average_pool(x)[0], [10, 11, 12, 13])
    assert global_average_pool(jnp.ones((2, 5, 3))).shape == (2, 3)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), r"window must be a positive number.* 2 spatial axes, got 0"),
        (((2, 2, 2),), r"one for each of 2 spatial axes, got \(2, 2, 2\)"),
        ((2, -1), "stride must be a positive number"),
        ((2, 2, "FULL"), "padding must be 'SAME', 'VALID', a number or pairs"),
        ((2, 2, [(0, 1)]), r"padding needs 2 pairs .*\(1, 4, 3, 1\)"),
        ((5,), r"window of \(5, 5\) does not fit an input of shape \(1, 4, 3, 1\)"),
    ],
)
def test_wrong_arguments_are_explained(pool, arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(jnp.ones((1, 4, 3, 1)), *arguments)
