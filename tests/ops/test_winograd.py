"""Winograd's convolution equals XLA's, forward and in every derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.window import plain_conv
from jaxcnn.ops.winograd import can_winograd, suits_winograd, winograd_conv
from tests.ops.compare import (
    assert_all_derivatives_equal_xla,
    assert_equals_xla,
    convolutions,
    noise,
    plain_window,
)

TABLE = [
    # image, channels, features, padding
    ((8, 8), 3, 4, ((1, 1), (1, 1))),
    ((7, 9), 4, 2, ((1, 1), (1, 1))),
    ((5, 6), 2, 3, ((0, 0), (0, 0))),
    ((6, 5), 1, 5, ((2, 2), (2, 2))),
    ((4, 7), 3, 3, ((0, 1), (2, 0))),
    ((3, 3), 2, 2, ((0, 0), (0, 0))),
    ((1, 1), 2, 3, ((1, 1), (1, 1))),
    ((14, 13), 40, 33, ((1, 1), (1, 1))),
]


@pytest.mark.parametrize(
    ("image", "channels", "features", "padding"),
    [
        *TABLE[:2],
        *(pytest.param(*row, marks=pytest.mark.thorough) for row in TABLE[2:]),
    ],
)
def test_equals_the_convolution_of_xla_and_its_gradients(
    image, channels, features, padding
):
    window = plain_window(padding)
    x, weights = noise(2, *image, channels), noise(3, 3, channels, features, seed=1)
    assert_equals_xla(winograd_conv, x, weights, window)


def test_one_tile_by_hand():
    """Ones under a kernel of ones: nine in each of four pixels out."""
    window = plain_window(((0, 0), (0, 0)))
    y = winograd_conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), window)
    np.testing.assert_array_equal(y[0, :, :, 0], np.full((2, 2), 9.0))


@pytest.mark.thorough
def test_errors_are_a_few_times_those_of_the_direct_sum():
    window = plain_window(((1, 1), (1, 1)))
    x, weights = noise(2, 14, 14, 256), noise(3, 3, 256, 256, seed=1)
    exact = _float64(x, weights)
    scale = np.abs(exact).max()
    errors = [
        np.abs(np.asarray(f(x, weights, window)) - exact).max() / scale
        for f in (winograd_conv, plain_conv)
    ]
    assert errors[0] < 1e-6
    assert errors[0] < 10 * errors[1]


def _float64(x, weights):
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", seen, weights, optimize=True)


@pytest.mark.thorough
def test_every_order_and_mode_of_differentiation():
    window = plain_window(((1, 1), (1, 1)))
    x, weights = noise(1, 4, 3, 2), noise(3, 3, 2, 2, seed=1)
    assert_all_derivatives_equal_xla(
        winograd_conv, x, weights, window, rtol=2e-3, atol=2e-2
    )


@pytest.mark.thorough
def test_under_vmap_and_remat():
    window = plain_window(((1, 1), (1, 1)))
    x, weights = noise(3, 2, 6, 6, 2), noise(3, 3, 3, 2, 4, seed=1)

    def total(function, x, k):
        return jnp.sin(function(x, k, window)).sum()

    def gradients(function):
        one = jax.checkpoint(functools.partial(total, function))
        return jax.jit(jax.vmap(jax.grad(one, argnums=(0, 1))))(x, weights)

    for one, other in zip(gradients(winograd_conv), gradients(plain_conv), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-4)


FITTING = ((8, 28, 28, 64), (3, 3, 64, 64), (1, 1), (1, 1), jnp.float32)


@pytest.mark.parametrize(
    ("change", "suits"),
    [
        ({}, True),
        ({1: (5, 5, 64, 64)}, False),
        ({2: (2, 2)}, False),
        ({3: (2, 2)}, False),
        ({4: jnp.bfloat16}, False),
        ({0: (8, 28, 28, 16), 1: (3, 3, 16, 512)}, False),
        ({0: (1, 28, 28, 64)}, False),
        ({0: (8, 4, 4, 1024), 1: (3, 3, 1024, 1024)}, True),
        ({0: (4, 4, 4, 2048), 1: (3, 3, 2048, 2048)}, False),
    ],
)
def test_what_it_suits(change, suits):
    image, kernel, stride, dilation, dtype = (
        change.get(place, usual) for place, usual in enumerate(FITTING)
    )
    x, k = (jax.ShapeDtypeStruct(shape, dtype) for shape in (image, kernel))
    window = plain_window(((1, 1), (1, 1)), stride, dilation)
    assert suits_winograd(x, k, window) is suits


@pytest.mark.parametrize("padding", [((3, 0), (0, 0)), ((0, -1), (0, 0))])
def test_paddings_that_leave_no_gradient(padding):
    x, k = jnp.zeros((1, 8, 8, 2)), jnp.zeros((3, 3, 2, 2))
    assert not can_winograd(x, k, plain_window(padding))


def test_a_layer_takes_it_on_a_cpu_alone():
    x, k = jnp.zeros(FITTING[0]), jnp.zeros(FITTING[1])
    window = plain_window(((1, 1), (1, 1)))
    assert convolutions("cpu", x, k, window) == 0
    assert convolutions("cuda", x, k, window) == 1
