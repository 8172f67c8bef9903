"""The unfolded convolution equals XLA's, and is taken where it pays."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.convolution import conv
from jaxcnn.ops.unfolded import suits_unfolding, unfolded_conv
from jaxcnn.ops.window import Window, plain_conv
from tests.ops.compare import assert_equals_xla, noise, plain_window


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((5, 5), (2, 2), [(0, 0), (0, 0)]),
        ((3, 5), (3, 2), [(1, 2), (0, 3)]),
        ((2, 2), (1, 1), [(0, 0), (1, 1)]),
    ],
)
def test_equals_the_convolution_of_xla(kernel, stride, padding):
    x, weights = noise(2, 12, 11, 3), noise(*kernel, 3, 4)
    window = plain_window(tuple(padding), stride)
    assert_equals_xla(unfolded_conv, x, weights, window, rtol=1e-3)


def test_bfloat16_stays_bfloat16():
    x, weights = noise(1, 7, 7, 2), noise(3, 3, 2, 2)
    x, weights = x.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
    y = unfolded_conv(x, weights, Window((2, 2), ((0, 0), (0, 0)), (1, 1)))
    assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "dilation", "suits"),
    [
        ((9, 9, 32, 8), (2, 2), 1, (1, 1), True),
        ((9, 9, 32, 8), (1, 1), 1, (1, 1), False),
        ((3, 3, 32, 8), (2, 2), 1, (1, 1), False),
        ((9, 9, 3, 8), (2, 2), 1, (1, 1), False),
        ((9, 9, 32, 8), (2, 2), 2, (1, 1), False),
        ((9, 9, 32, 8), (2, 2), 1, (2, 2), False),
    ],
)
def test_is_taken_for_large_strided_kernels(kernel, stride, groups, dilation, suits):
    x = jnp.zeros((1, 20, 20, kernel[2] * groups))
    window = Window(stride, ((0, 0), (0, 0)), dilation, groups)
    assert suits_unfolding(x, jnp.zeros(kernel), window) is suits


def test_the_convolution_takes_it():
    x, kernel = noise(1, 9, 9, 32), noise(5, 5, 32, 2)
    options = {"stride": (2, 2), "padding": [(0, 0), (0, 0)]}
    y = conv(x, kernel, dilation=(1, 1), **options)
    np.testing.assert_allclose(
        y, plain_conv(x, kernel, plain_window(stride=(2, 2))), atol=1e-3
    )
