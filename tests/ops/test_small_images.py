"""Images smaller than the kernel: taps on padding left out, the rest one product."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.banded import banded_conv
from jaxcnn.ops.convolution import CPU_LOWERINGS, conv
from jaxcnn.ops.small_images import cropped_conv, suits_cropping, suits_small_image
from jaxcnn.ops.window import Window, plain_conv
from tests.ops.compare import (
    assert_all_derivatives_equal_xla,
    assert_equals_xla,
    convolutions,
    noise,
    plain_window,
)

cropped = functools.partial(cropped_conv, convolve=plain_conv)

# image, channels, kernel, stride, padding, dilation, groups, the kernel that is left
CROPPED = [
    ((1, 1), 4, (3, 3), 1, 1, 1, 1, (1, 1)),
    ((2, 1), 4, (5, 5), 1, 2, 1, 1, (3, 1)),
    ((1, 1), 4, (3, 3), 2, 1, 1, 2, (1, 1)),
    ((14, 14), 2, (3, 3), 1, 18, 18, 1, (1, 1)),
    ((3, 3), 2, (3, 3), 2, 3, 3, 1, (1, 1)),
    ((2, 9), 2, (7, 3), 1, 3, 1, 1, (3, 3)),
    ((3,), 2, (9,), 1, 4, 1, 1, (5,)),
    ((1, 2, 1), 2, (3, 3, 3), 1, 1, 1, 1, (1, 3, 1)),
]


@pytest.mark.parametrize(
    ("image", "channels", "taps", "stride", "padding", "dilation", "groups", "left"),
    [
        *CROPPED[:2],
        *(pytest.param(*r, marks=pytest.mark.thorough) for r in CROPPED[2:]),
    ],
)
def test_taps_on_padding_alone_are_left_out(
    image, channels, taps, stride, padding, dilation, groups, left
):
    rank = len(image)
    pads = ((padding, padding),) * rank
    window = Window((stride,) * rank, pads, (dilation,) * rank, groups)
    x, kernel = noise(2, *image, channels), noise(*taps, channels // groups, 4, seed=1)
    assert suits_cropping(x, kernel, window)
    assert_equals_xla(cropped, x, kernel, window, atol=1e-4)
    kept = []

    def convolve(x, kernel, window):
        kept.append(kernel.shape[:-2])
        return plain_conv(x, kernel, window)

    cropped_conv(x, kernel, window, convolve=convolve)
    assert kept == [left]


@pytest.mark.parametrize(
    ("image", "taps", "padding", "stride"),
    [
        ((2, 2), (3, 3), ((1, 1), (1, 1)), (1, 1)),
        ((5, 5), (3, 3), ((1, 1), (1, 1)), (1, 1)),
        ((1, 1), (3, 3), ((2, 2), (2, 2)), (1, 1)),
        # Every output lies on padding: no tap is left to crop to.
        ((1, 1), (1, 1), ((2, 0), (2, 0)), (9, 9)),
        ((1, 1), (3, 3), ((0, 0), (0, 0)), (1, 1)),  # nothing comes out
    ],
)
def test_kernels_that_are_needed_whole(image, taps, padding, stride):
    x, kernel = jnp.zeros((1, *image, 2)), jnp.zeros((*taps, 2, 2))
    assert not suits_cropping(x, kernel, plain_window(padding, stride))


def test_left_out_taps_have_no_gradient():
    window = plain_window(((1, 1), (1, 1)))
    gradient = jax.grad(lambda k: cropped(jnp.full((1, 1, 1, 1), 5.0), k, window).sum())
    expected = np.zeros((3, 3, 1, 1))
    expected[1, 1] = 5
    np.testing.assert_array_equal(gradient(jnp.ones((3, 3, 1, 1))), expected)


@pytest.mark.parametrize(
    ("image", "kernel", "window", "suits"),
    [
        ((2, 2, 2, 64), (3, 3, 64, 64), {}, True),
        ((2, 4, 9, 64), (5, 5, 64, 64), {"padding": ((2, 2),) * 2}, True),
        ((2, 3, 3, 64), (3, 3, 64, 64), {}, False),
        ((2, 4, 4, 64), (8, 8, 64, 64), {"padding": ((4, 4),) * 2}, False),
        ((2, 2, 2, 64), (3, 3, 32, 64), {"groups": 2}, False),
        ((2, 2, 2, 64), (3, 3, 64, 64), {"dilation": (2, 2)}, False),
    ],
)
def test_when_the_kernel_is_larger(image, kernel, window, suits):
    window = plain_window(**{"padding": ((1, 1), (1, 1))} | window)
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in (image, kernel)]
    assert suits_small_image(*shapes, window) is suits


def test_a_layer_takes_products_on_a_cpu_alone():
    window = plain_window(((1, 1), (1, 1)))
    x, kernel = noise(2, 2, 2, 40), noise(3, 3, 40, 30)
    chosen = next(f for suits, f in CPU_LOWERINGS if suits(x, kernel, window))
    assert chosen is banded_conv
    assert convolutions("cpu", x, kernel, window) == 0
    assert convolutions("cuda", x, kernel, window) == 1


@pytest.mark.thorough
@pytest.mark.parametrize(("size", "padding"), [(2, 1), (1, 1), (2, 2)])
def test_every_order_and_mode_of_differentiation(size, padding):
    def ours(x, kernel, window):
        pads = window.padding
        return conv(x, kernel, stride=(1, 1), padding=pads, dilation=(1, 1))

    window = plain_window(((padding, padding),) * 2)
    x, kernel = noise(1, size, size, 11), noise(3, 3, 11, 2, seed=1)
    assert_all_derivatives_equal_xla(ours, x, kernel, window)
