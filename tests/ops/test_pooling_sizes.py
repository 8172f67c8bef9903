"""Sums, rounding up, global and adaptive pools, each against a loop in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    global_max_pool,
    max_pool,
    sum_pool,
)

pytestmark = pytest.mark.thorough


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def by_loop(x, windows, reduce):
    """Reduces, for each output position, the slices that `windows` gives an axis."""
    out = np.zeros((x.shape[0], *map(len, windows), x.shape[-1]), np.float32)
    for index in itertools.product(*(range(len(axis)) for axis in windows)):
        cut = [slice(*windows[axis][i]) for axis, i in enumerate(index)]
        part = x[:, *cut].reshape(x.shape[0], -1, x.shape[-1])
        out[:, *index] = reduce(part)
    return out


def slices(size, window, stride, padding, ceil_mode):
    """Returns (begin, end) of each window in the image, and in the padded image."""
    extra = stride - 1 if ceil_mode else 0
    count = (size + 2 * padding - window + extra) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    starts = [k * stride - padding for k in range(count)]
    inside = [(max(s, 0), min(s + window, size)) for s in starts]
    padded = [(s, min(s + window, size + padding)) for s in starts]
    return inside, padded


CASES = [
    # spatial shape, window, stride, padding
    ((7,), 3, 2, 1),
    ((8,), 3, 2, 0),
    ((6, 7), 3, 2, 0),
    ((5, 8), 2, 2, 1),
    ((5, 6), 3, 3, 1),
    ((2, 2), 3, 2, 0),
    ((4, 5, 6), 3, 2, 1),
]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("shape", "window", "stride", "padding"), CASES)
def test_pools_in_1_2_and_3_dimensions(shape, window, stride, padding, ceil_mode):
    if min(shape) + 2 * padding < window and not ceil_mode:
        with pytest.raises(ValueError, match="does not fit an input"):
            max_pool(jnp.zeros((1, *shape, 1)), window, stride, padding)
        return
    x = noise(2, *shape, 3)
    pairs = [slices(n, window, stride, padding, ceil_mode) for n in shape]
    inside, padded = zip(*pairs, strict=True)
    arguments = (x, window, stride, padding)
    got = max_pool(*arguments, ceil_mode=ceil_mode)
    expected = by_loop(x, inside, lambda part: part.max(1))
    np.testing.assert_array_equal(got, expected)
    sums = by_loop(x, inside, lambda part: part.sum(1))
    got = sum_pool(*arguments, ceil_mode=ceil_mode)
    np.testing.assert_allclose(got, sums, atol=1e-5)
    for include, counted in ((True, padded), (False, inside)):
        lengths = [[end - begin for begin, end in axis] for axis in counted]
        counts = np.prod(np.meshgrid(*lengths, indexing="ij"), axis=0)[None, ..., None]
        got = avg_pool(*arguments, count_include_pad=include, ceil_mode=ceil_mode)
        np.testing.assert_allclose(got, sums / counts, atol=1e-5)


def test_same_padding_is_rounded_up_already():
    x = noise(1, 5, 1)
    for pool in (max_pool, avg_pool, sum_pool):
        np.testing.assert_array_equal(
            pool(x, 2, 2, "SAME", ceil_mode=True), pool(x, 2, 2, "SAME")
        )


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bfloat16, jnp.float32])
def test_sums_keep_their_type(dtype):
    y = sum_pool(jnp.ones((1, 4, 4, 1), dtype), 2)
    assert (y.dtype, y[0, 0, 0, 0]) == (dtype, 4)


def test_the_gradient_of_a_sum_under_jit():
    gradient = jax.jit(jax.grad(lambda x: (sum_pool(x, 3, 2, 1) * 2).sum()))
    np.testing.assert_array_equal(
        gradient(jnp.ones((1, 5, 1)))[0, :, 0], [2, 4, 2, 4, 2]
    )


def test_global_max_pool_of_any_rank():
    x = noise(2, 3, 4, 5, 6)
    np.testing.assert_array_equal(global_max_pool(x), x.max((1, 2, 3)))
    np.testing.assert_array_equal(global_max_pool(x[:, 0, 0]), x[:, 0, 0].max(1))


ADAPTIVE = [
    ((7,), 3),
    ((6,), 3),
    ((3,), 7),
    ((1,), 4),
    ((6, 7), (3, 5)),
    ((6, 8), 2),
    ((5, 4), (None, 1)),
    ((5, 6, 7), (2, 4, 9)),
]


@pytest.mark.parametrize(("shape", "size"), ADAPTIVE)
def test_adaptive_windows_are_those_of_pytorch(shape, size):
    x = noise(2, *shape, 3)
    sizes = (size,) * len(shape) if isinstance(size, int) else size
    windows = [
        [(k * n // (m or n), -(-(k + 1) * n // (m or n))) for k in range(m or n)]
        for n, m in zip(shape, sizes, strict=True)
    ]
    mean = by_loop(x, windows, lambda part: part.mean(1))
    largest = by_loop(x, windows, lambda part: part.max(1))
    np.testing.assert_allclose(adaptive_avg_pool(x, size), mean, atol=1e-6)
    np.testing.assert_array_equal(adaptive_max_pool(x, size), largest)


@pytest.mark.parametrize("size", [2, 3])
def test_the_first_of_equal_values_takes_the_adaptive_gradient(size):
    x = jnp.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2.0]])
    x = x[None, :, :, None]
    gradient = jax.grad(lambda x: adaptive_max_pool(x, size).sum())(x)[0, :, :, 0]
    assert gradient.sum() == size**2
    assert set(np.unique(gradient)) <= set(range(size**2))
    if size == 2:
        assert gradient[0, 1] == 1  # before its equal in the next row
        assert gradient[2, 3] == 1


def test_adaptive_means_keep_bfloat16():
    x = jnp.full((1, 5, 5, 2), 3.0, jnp.bfloat16)
    y = adaptive_avg_pool(x, 3)
    assert y.dtype == jnp.bfloat16
    assert (y == 3).all()


@pytest.mark.parametrize("pool", [adaptive_avg_pool, adaptive_max_pool])
@pytest.mark.parametrize("size", [0, (2,), (2, 0), (1, 2, 3)])
def test_wrong_output_sizes_are_explained(pool, size):
    message = r"output_size must be a positive number, .* 2 spatial axes, got"
    with pytest.raises(ValueError, match=message):
        pool(jnp.ones((1, 4, 4, 1)), size)


@pytest.mark.parametrize("pool", [max_pool, avg_pool, sum_pool])
def test_padding_as_large_as_the_window_is_refused(pool):
    message = r"padding must be smaller than the window \(2, 2\), .* got \[\(2, 2\)"
    with pytest.raises(ValueError, match=message):
        pool(jnp.ones((1, 4, 4, 1)), 2, 2, 2)
