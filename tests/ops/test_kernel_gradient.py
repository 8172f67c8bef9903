"""The gradient by the kernel of matrix products equals XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.kernel_gradient import (
    kernel_gradient,
    products_conv,
    suits_products,
)
from jaxcnn.ops.window import Window
from tests.ops.compare import (
    assert_all_derivatives_equal_xla,
    assert_equals_xla,
    noise,
    plain_window,
)

TABLE = [
    # image, kernel, stride, padding
    ((8, 8, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
    ((9, 7, 2), (3, 3, 2, 16), (2, 2), ((1, 1), (1, 1))),
    ((12, 12, 4), (5, 5, 4, 6), (1, 1), ((0, 0), (0, 0))),
    ((9, 12, 65), (3, 3, 65, 5), (1, 2), ((1, 0), (2, 1))),
    ((7, 10, 5), (3, 4, 5, 80), (3, 1), ((0, 2), (0, 0))),
    ((6, 7, 6), (3, 2, 6, 5), (1, 1), ((2, 0), (1, 1))),
    ((9, 8, 70), (3, 3, 70, 66), (1, 1), ((1, 1), (1, 1))),
    ((4, 9, 7), (1, 7, 7, 8), (1, 1), ((0, 0), (3, 3))),
    ((9, 4, 7), (7, 1, 7, 4), (1, 1), ((3, 3), (0, 0))),
    ((9, 4, 1), (7, 1, 1, 4), (2, 1), ((3, 3), (0, 0))),
]


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding"),
    [TABLE[0], *(pytest.param(*row, marks=pytest.mark.thorough) for row in TABLE[1:])],
)
def test_equals_the_gradient_of_xla(image, kernel, stride, padding):
    window = Window(stride, padding, (1, 1))
    x, weights = noise(2, *image), noise(*kernel)
    assert_equals_xla(products_conv, x, weights, window)


@pytest.mark.thorough
def test_every_order_and_mode_of_differentiation():
    x, weights = noise(1, 4, 4, 2), noise(3, 3, 2, 2)
    window = plain_window(((1, 1), (1, 1)))
    assert_all_derivatives_equal_xla(products_conv, x, weights, window)


def test_the_gradient_by_the_image_is_not_computed_unasked():
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1))
    x, weights = noise(1, 8, 8, 3), noise(3, 3, 3, 4)

    def count(argument):
        gradient = jax.grad(lambda *both: products_conv(*both, window).sum(), argument)
        return str(jax.make_jaxpr(gradient)(x, weights)).count("conv_general_dilated[")

    assert count(1) == 1
    assert count(0) == 2


@pytest.mark.parametrize(
    ("image", "kernel", "window", "suits"),
    [
        ((2, 8, 8, 3), (3, 3, 3, 4), {}, True),
        ((2, 8, 8, 3), (5, 5, 3, 4), {}, True),
        ((2, 8, 8, 3), (8, 8, 3, 4), {"padding": ((4, 4),) * 2}, False),
        ((2, 8, 8, 4), (3, 3, 4, 3), {}, True),
        ((2, 8, 8, 4), (3, 3, 4, 3), {"stride": (2, 2)}, False),
        ((2, 8, 8, 4), (3, 3, 4, 3), {"padding": ((3, 3),) * 2}, False),
        ((2, 8, 8, 3), (1, 1, 3, 4), {}, False),
        ((2, 8, 8, 4), (3, 3, 2, 4), {"groups": 2}, False),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"dilation": (2, 2)}, False),
        ((2, 8, 3), (3, 3, 4), {"stride": (1,), "padding": ((0, 0),)}, False),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"padding": ((-1, 0), (0, 0))}, False),
        ((0, 8, 8, 3), (3, 3, 3, 4), {}, False),
    ],
)
def test_is_taken_for_small_kernels(image, kernel, window, suits):
    given = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    window = Window(**(given | window))
    shapes = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (image, kernel))
    assert suits_products(*shapes, window) is suits


def test_a_product_holds_only_what_the_kernel_sees():
    x, g = np.zeros((1, 5, 5, 1), np.float32), np.zeros((1, 3, 3, 1), np.float32)
    x[0, 2, 3], g[0, 1, 1] = 2, 3
    window = Window((1, 1), ((0, 0), (0, 0)), (1, 1))
    expected = np.zeros((3, 3, 1, 1))
    expected[1, 2] = 6
    found = kernel_gradient(x, g, kernel=(3, 3), window=window)
    np.testing.assert_array_equal(found, expected)
