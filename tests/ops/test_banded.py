"""One product with a banded matrix equals XLA's convolution, in every derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.banded import banded_conv, suits_banding
from jaxcnn.ops.window import Window, plain_conv
from tests.ops.compare import (
    assert_all_derivatives_equal_xla,
    assert_equals_xla,
    convolutions,
    noise,
    plain_window,
)

TABLE = [
    # image, kernel, stride, padding
    ((9, 11, 2), (3, 4, 2, 3), (2, 1), ((1, 0), (2, 1))),
    ((12, 12, 1), (5, 5, 1, 10), (1, 1), ((0, 0), (0, 0))),
    ((7, 8, 3), (3, 3, 3, 24), (1, 1), ((1, 1), (1, 1))),
    ((9, 9, 10), (2, 5, 10, 4), (3, 2), ((0, 2), (4, 0))),
    ((6, 14, 1), (3, 2, 1, 2), (1, 3), ((0, 0), (0, 0))),
    ((9, 11, 40), (5, 6, 40, 30), (1, 1), ((0, 0), (0, 0))),
]


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding"),
    [TABLE[0], *(pytest.param(*row, marks=pytest.mark.thorough) for row in TABLE[1:])],
)
def test_equals_the_convolution_of_xla(image, kernel, stride, padding):
    window = Window(stride, padding, (1, 1))
    x, weights = noise(2, *image), noise(*kernel)
    assert suits_banding(x, weights, window)
    assert_equals_xla(banded_conv, x, weights, window)


@pytest.mark.thorough
def test_every_order_and_mode_of_differentiation():
    window = plain_window(((1, 1), (0, 0)))
    x, weights = noise(1, 3, 5, 2), noise(3, 2, 2, 2)
    assert_all_derivatives_equal_xla(banded_conv, x, weights, window)


def test_maps_over_images_and_kernels():
    window = plain_window(((1, 1), (1, 1)))
    xs, kernels = noise(3, 2, 5, 6, 2), noise(3, 3, 3, 2, 4)
    y = jax.vmap(functools.partial(banded_conv, window=window))(xs, kernels)
    expected = [plain_conv(*pair, window) for pair in zip(xs, kernels, strict=True)]
    np.testing.assert_allclose(y, jnp.stack(expected), rtol=1e-4, atol=1e-4)


UNPADDED = {"padding": ((0, 0), (0, 0))}


@pytest.mark.parametrize(
    ("image", "kernel", "window", "suits"),
    [
        ((2, 8, 8, 3), (3, 3, 3, 4), {}, True),
        ((2, 8, 8, 10), (3, 3, 10, 24), {}, True),
        ((2, 8, 8, 11), (3, 3, 11, 4), {}, False),
        ((2, 8, 8, 3), (3, 3, 3, 32), {}, False),
        ((2, 8, 8, 3), (1, 3, 3, 4), {}, False),
        ((2, 8, 8, 4), (3, 3, 2, 4), {"groups": 2}, False),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"dilation": (2, 2)}, False),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"padding": ((-1, 1), (1, 1))}, False),
        ((0, 8, 8, 3), (3, 3, 3, 4), {}, False),
        ((2, 2, 8, 3), (5, 5, 3, 4), {}, False),
        ((2, 8, 256, 3), (3, 3, 3, 4), {}, True),
        ((2, 8, 260, 3), (3, 3, 3, 4), {}, False),  # 65 groups of four
        ((2, 8, 131, 3), (3, 3, 3, 4), {}, False),  # a prime: no position has company
        ((2, 12, 12, 3), (9, 9, 3, 4), {}, False),
        ((2, 12, 12, 88), (5, 5, 88, 20), UNPADDED, True),
        ((2, 12, 12, 88), (5, 5, 88, 20), {}, False),
        ((2, 12, 12, 88), (5, 5, 88, 20), UNPADDED | {"stride": (2, 2)}, False),
        ((2, 12, 12, 88), (4, 5, 88, 20), UNPADDED, False),
        ((2, 12, 12, 97), (5, 5, 97, 20), UNPADDED, False),
        ((2, 12, 12, 88), (5, 5, 88, 65), UNPADDED, False),
        ((2, 12, 15, 88), (5, 5, 88, 20), UNPADDED, False),
    ],
)
def test_what_does_not_pay_is_left_to_xla(image, kernel, window, suits):
    options = {"stride": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1)}
    window = Window(**options | window)
    x, weights = jnp.zeros(image), jnp.zeros(kernel)
    assert suits_banding(x, weights, window) == suits
    assert not suits_banding(x.astype(jnp.bfloat16), weights, window)


@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm"])
def test_accelerators_keep_the_convolution_of_xla(platform):
    x, kernel = noise(2, 8, 8, 1), noise(3, 3, 1, 4)
    window = plain_window(((1, 1), (1, 1)))
    assert convolutions(platform, x, kernel, window) == 1
    assert convolutions("cpu", x, kernel, window) == 0
