"""Grouped convolutions equal XLA's, forward and in both gradients."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxcnn.ops.grouped import grouped_conv, suits_groups
from jaxcnn.ops.window import Window, plain_conv
from tests.ops.compare import assert_equals_xla, convolutions, noise, plain_window

TABLE = [
    # spatial, channels, features, groups, taps, stride, dilation
    ((6, 5), 8, 8, 4, 3, 1, 1),
    ((6, 5), 8, 16, 2, 3, 2, 1),
    ((5, 5), 12, 6, 3, 1, 1, 1),
    ((7, 7), 128, 128, 32, 3, 1, 1),
    ((7, 7), 160, 160, 2, 3, 1, 1),
    ((7, 7), 72, 144, 6, 3, 1, 2),
    ((9,), 8, 8, 2, 3, 2, 1),
    ((4, 4, 4), 6, 6, 3, 3, 1, 1),
]


@pytest.mark.parametrize(
    ("spatial", "channels", "features", "groups", "taps", "stride", "dilation"),
    [TABLE[0], *(pytest.param(*row, marks=pytest.mark.thorough) for row in TABLE[1:])],
)
def test_equals_the_convolution_of_xla_and_its_gradients(
    spatial, channels, features, groups, taps, stride, dilation
):
    rank = len(spatial)
    pad = dilation * (taps // 2)
    window = Window((stride,) * rank, ((pad, pad),) * rank, (dilation,) * rank, groups)
    x = noise(2, *spatial, channels)
    kernel = noise(*(taps,) * rank, channels // groups, features, seed=1)
    ours = functools.partial(grouped_conv, convolve=plain_conv)
    assert_equals_xla(ours, x, kernel, window, atol=2e-4)


def test_groups_do_not_see_each_other():
    window = Window((1, 1), ((0, 0), (0, 0)), (1, 1), 2)
    x = jnp.array([1.0, 2.0, 10.0, 20.0]).reshape(1, 1, 1, 4)
    kernel = jnp.array([[1.0, 0.0], [0.0, 3.0]]).reshape(1, 1, 2, 2)
    y = grouped_conv(x, kernel, window, convolve=plain_conv)
    assert y.ravel().tolist() == [1.0, 60.0]


def test_how_many_groups_are_one_convolution():
    """ResNeXt's 32 groups of 4 become two convolutions of 64 channels."""
    widths = []

    def convolve(x, kernel, window):
        widths.append((x.shape[-1], kernel.shape[-2:]))
        return plain_conv(x, kernel, window)

    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), 32)
    x, kernel = jnp.zeros((1, 4, 4, 128)), jnp.zeros((3, 3, 4, 128))
    assert grouped_conv(x, kernel, window, convolve=convolve).shape == x.shape
    assert widths == [(64, (64, 64))] * 2


@pytest.mark.parametrize(
    ("channels", "groups", "dtype", "suits"),
    [
        (8, 2, jnp.float32, True),
        (8, 2, jnp.bfloat16, True),
        (8, 1, jnp.float32, False),
        (8, 8, jnp.float32, False),
        (8, 2, jnp.int32, False),
    ],
)
def test_what_it_suits(channels, groups, dtype, suits):
    x = jax.ShapeDtypeStruct((1, 4, 4, channels), dtype)
    kernel = jax.ShapeDtypeStruct((3, 3, channels // groups, 8), dtype)
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), groups)
    assert suits_groups(x, kernel, window) is suits


def test_a_layer_takes_it_on_a_cpu_alone():
    x, kernel = jnp.zeros((2, 8, 8, 96)), jnp.zeros((1, 1, 48, 96))
    window = plain_window(groups=2)
    assert convolutions("cpu", x, kernel, window) == 0
    assert convolutions("cuda", x, kernel, window) == 1
