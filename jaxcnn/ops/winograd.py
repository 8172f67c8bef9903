"""Winograd's convolution: 3x3 kernels by sixteen matrix products, not by 36."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.ops.products import over_rows
from jaxcnn.ops.tangents import sum_of_tangents
from jaxcnn.ops.window import Pairs, Window, vary_alike
from jaxcnn.ops.written import written
from jaxcnn.typing import Array

# F(2x2, 3x3) of the paper, section 4.1: what a tile of 4x4 pixels, a kernel of 3x3
# weights and 4x4 products are multiplied by from both sides.
_INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))

# The kernel's from both sides at once, `[16, 9]`.
_BOTH = np.kron(_KERNEL, _KERNEL).astype(np.float32)

# Pixels out of a tile's side, and pixels in.
_OUT, _IN = 2, 4

# With less of any of these XLA's convolution is as fast: the transforms grow with
# pixels and channels, what they save with their product.
_CHANNELS = 32
_TILES = 32
_MACS = 150_000_000

Tile = list[list[Array]]


def suits_winograd(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `winograd_conv` computes it, and is faster on a CPU.

    With 64 to 512 channels at 56 to 7 pixels it takes 0.4 to 0.7 of the time of XLA's
    convolution.
    """
    if not can_winograd(x, kernel, window):
        return False
    tiles = math.prod(_tiles(window.sizes(x.shape[1:3], kernel.shape[:2])))
    work = x.shape[0] * tiles * _OUT**2 * math.prod(kernel.shape)
    return (
        min(kernel.shape[2:]) >= _CHANNELS
        and x.shape[0] * tiles >= _TILES
        and work >= _MACS
    )


def can_winograd(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `winograd_conv` computes it, fast or not."""
    return (
        x.ndim == 4
        and kernel.shape[:2] == (3, 3)
        and window.groups == 1
        and set(window.stride) == set(window.dilation) == {1}
        and x.dtype == jnp.float32
        # The image's gradient is padded by what these leave of two.
        and all(0 <= pad <= 2 for pair in window.padding for pad in pair)
        and 0 not in x.shape
        and min(window.sizes(x.shape[1:3], kernel.shape[:2])) > 0
    )


def winograd_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the cross-correlation with a 3x3 kernel, in 4/9 of the multiplications.

    Two by two pixels out are a tile of 4x4 pixels in. Sums of its pixels are multiplied
    by sums of the kernel's weights, sixteen products for 36, each of them a matrix
    product over channels; sums of these are the pixels out. Both gradients are computed
    so as well. The sums round: errors are a few times those of the direct sum.

    All orders of both modes of differentiation work; a forward-mode tangent of the
    image costs more than here (it is the transpose of the gradient).

    Args:
        x: `[batch, height, width, channels]`, float32.
        kernel: `[3, 3, channels, features]`.
        window: Stride 1, padding of up to two pixels a side.

    Returns:
        `[batch, *spatial, features]`.

    References:
        Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
        https://arxiv.org/abs/1509.09308.
    """
    x, kernel = vary_alike(x, kernel)
    return _conv(x, kernel, window)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _conv(x: Array, kernel: Array, window: Window) -> Array:
    return _by_tiles(x, kernel, window)


@functools.partial(_conv.defjvp, symbolic_zeros=True)
def _conv_jvp(window: Window, primals: tuple, tangents: tuple) -> tuple:
    x, kernel = primals
    dx, dkernel = tangents
    y = _conv(x, kernel, window)
    return y, sum_of_tangents(
        y,
        (dx, functools.partial(_input_gradient, kernel, window=window), x),
        (dkernel, functools.partial(_kernel_gradient, x, window=window), kernel),
    )


def _input_gradient(kernel: Array, g: Array, *, window: Window) -> Array:
    """Returns the gradient by the image: the mirrored kernel over `g`."""
    padding = tuple((2 - low, 2 - high) for low, high in window.padding)
    return _by_tiles(g, kernel, window._replace(padding=padding), mirrored=True)


def _kernel_gradient(x: Array, g: Array, *, window: Window) -> Array:
    """Returns the gradient by the kernel: sixteen products over batch and tiles."""
    seen = _seen(x, g.shape[1:3], window)
    pixels = _tile_pixels(g, ((0, 0), (0, 0)), g.shape[1:3], _OUT)
    back = _transform(tuple(zip(*_OUTPUT, strict=True)), pixels)
    products = [
        over_rows(v, _flat(b))
        for v, b in zip(seen, itertools.chain(*back), strict=True)
    ]
    return jnp.tensordot(_BOTH.T, jnp.stack(products), 1).reshape(
        3, 3, x.shape[3], g.shape[3]
    )


def _by_tiles(
    x: Array, kernel: Array, window: Window, *, mirrored: bool = False
) -> Array:
    """Returns the convolution, or that with the kernel mirrored and transposed."""
    sizes = window.sizes(x.shape[1:3], kernel.shape[:2])
    weights = _BOTH @ kernel.reshape(9, -1)
    weights = weights.reshape(_IN, _IN, *kernel.shape[2:])
    # Sums of the mirrored kernel are those of the kernel in another order, and channels
    # are swapped in the products: a transposed copy would be slow.
    order = (3, 1, 2, 0) if mirrored else range(_IN)
    axes = (((1,), (int(mirrored),)), ((), ()))
    shape = (x.shape[0], *_tiles(sizes), kernel.shape[2 + (not mirrored)])
    seen = iter(_seen(x, sizes, window))
    products = [
        [
            jax.lax.dot_general(next(seen), weights[i, j], axes).reshape(shape)
            for j in order
        ]
        for i in order
    ]
    out = _transform(_OUTPUT, products)
    y = jnp.stack([jnp.stack(row, axis=3) for row in out], axis=2)
    whole = (x.shape[0], *(_OUT * t for t in _tiles(sizes)), y.shape[-1])
    return y.reshape(whole)[:, : sizes[0], : sizes[1]]


def _seen(x: Array, sizes: Sequence[int], window: Window) -> list[Array]:
    """Returns the sums of pixels of all tiles, each written before it is multiplied."""
    tile = _transform(_INPUT, _tile_pixels(x, window.padding, sizes, _IN))
    return [_flat(v) for v in itertools.chain(*tile)]


def _flat(x: Array) -> Array:
    return written(x.reshape(-1, x.shape[-1]))


def _tiles(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // _OUT) for n in sizes)


def _tile_pixels(x: Array, padding: Pairs, sizes: Sequence[int], side: int) -> Tile:
    """Returns each of a tile's pixels, of all tiles: `[batch, *tiles, channels]`."""
    tiles = _tiles(sizes)
    # The last tile of an odd side is half outside.
    pads = [
        (low, high + _OUT * t - n)
        for (low, high), t, n in zip(padding, tiles, sizes, strict=True)
    ]

    def along(x: Array, axis: int) -> list[Array]:
        reach = _OUT * (tiles[axis - 1] - 1) + 1
        return [jax.lax.slice_in_dim(x, i, i + reach, _OUT, axis) for i in range(side)]

    x = written(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    return [along(row, 2) for row in along(x, 1)]


def _transform(matrix: Sequence[Sequence[float]], tile: Tile) -> Tile:
    """Returns `matrix @ tile @ matrix.T`, with arrays in the place of numbers."""
    columns = list(zip(*tile, strict=True))
    half = [[_weighted(row, column) for column in columns] for row in matrix]
    return [[_weighted(row, line) for row in matrix] for line in half]


def _weighted(factors: Sequence[float], arrays: Sequence[Array]) -> Array:
    """Returns the sum of the arrays, times their factors."""
    terms = [
        a if f == 1 else -a if f == -1 else f * a
        for f, a in zip(factors, arrays, strict=True)
        if f
    ]
    return functools.reduce(jnp.add, terms)
