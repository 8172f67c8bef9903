"""Depthwise convolution as a sum of shifted products, and its gradients."""

import functools
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from jaxcnn.ops.tangents import sum_of_tangents
from jaxcnn.ops.window import Window, vary_alike
from jaxcnn.typing import Array

# Every tap is written out: beyond this many compilation costs more than it saves.
_MOST_TAPS = 49

# Rows of an image whose products are added in one pass before they are written.
_ROWS = 8


def suits_depthwise(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `depthwise_conv` computes it, and is faster on a CPU.

    XLA's own took 10 to 200 times as long there, in all three directions.
    """
    return (
        x.ndim == 4
        and jnp.issubdtype(x.dtype, jnp.floating)
        and window.groups == x.shape[-1] > 1
        and math.prod(kernel.shape[:2]) <= _MOST_TAPS
        and all(min(pair) >= 0 for pair in window.padding)
        and 0 not in x.shape
    )


def depthwise_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the convolution of each channel by itself: shifted products, added.

    The gradients are written the same way, since those that JAX would derive pad every
    product by itself. All orders of both modes of differentiation work; a forward-mode
    tangent costs more than here (it is the transpose of the gradient).

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[rows, columns, 1, channels * multiplier]`.
        window: With as many groups as there are channels.

    Returns:
        `[batch, *spatial, channels * multiplier]`, added up in float32 or better.
    """
    dtype = x.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    multiplier = kernel.shape[-1] // x.shape[-1]
    if multiplier > 1:
        x = jnp.repeat(x, multiplier, axis=-1)
    x, kernel = vary_alike(x.astype(wide), kernel.astype(wide))
    return _depthwise(x, kernel, window).astype(dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _depthwise(x: Array, kernel: Array, window: Window) -> Array:
    sizes = window.sizes(x.shape[1:3], kernel.shape[:2])
    padded = _padded(x, window.padding)
    terms = [
        part * _tap(kernel, tap)
        for tap, part in _shifted(padded, kernel, window, sizes)
    ]
    return functools.reduce(jnp.add, terms)


@functools.partial(_depthwise.defjvp, symbolic_zeros=True)
def _depthwise_jvp(window: Window, primals: tuple, tangents: tuple) -> tuple:
    x, kernel = primals
    dx, dkernel = tangents
    y = _depthwise(x, kernel, window)
    return y, sum_of_tangents(
        y,
        (dx, lambda g: _input_gradient(g, kernel, x.shape, window), x),
        (dkernel, lambda g: _kernel_gradient(x, g, kernel.shape, window), kernel),
    )


def _input_gradient(
    g: Array, kernel: Array, shape: tuple[int, ...], window: Window
) -> Array:
    """Returns the gradient by `x`: the mirrored kernel over `g`, pulled apart."""
    edges = [
        (*pair, s - 1)
        for pair, s in zip(_edges(g, kernel, shape, window), window.stride, strict=True)
    ]
    g = jax.lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    g = jax.lax.optimization_barrier(g)
    flat = window._replace(stride=(1, 1))
    mirrored = kernel[::-1, ::-1]
    terms = [
        part * _tap(mirrored, tap)
        for tap, part in _shifted(g, kernel, flat, shape[1:3])
    ]
    return functools.reduce(jnp.add, terms)


def _edges(
    g: Array, kernel: Array, shape: tuple[int, ...], window: Window
) -> list[tuple[int, int]]:
    """Returns what `_input_gradient` pads each spatial axis of `g` by."""
    edges = []
    for n, taps, size, s, d, (low, _) in zip(
        shape[1:3],
        kernel.shape,
        g.shape[1:3],
        window.stride,
        window.dilation,
        window.padding,
        strict=False,
    ):
        span = d * (taps - 1)
        before = span - low
        edges.append((before, n + span - before - (s * (size - 1) + 1)))
    return edges


def _kernel_gradient(
    x: Array, g: Array, shape: tuple[int, ...], window: Window
) -> Array:
    """Returns the gradient by the kernel, `[rows, columns, 1, channels]`.

    A sum over shifted slices is slow in XLA. So the products of a few rows are added
    where they are made; what is left, an eighth, is written, and a matrix product with
    ones adds it up. Eight rows of ones: a product with a vector becomes a loop, into
    which XLA fuses everything before it.
    """
    batch, height, width, channels = g.shape
    rows = -(-height // _ROWS)
    parts = -(-height // rows)
    missing = parts * rows - height
    kernel = jax.ShapeDtypeStruct(shape, g.dtype)
    # As padded for the input's gradient, which XLA then computes once for both. What
    # makes `g` (a norm's gradient) would else be computed again in every product.
    edges = [(max(a, 0), max(b, 0)) for a, b in _edges(g, kernel, x.shape, window)]
    (top, bottom), (left, _) = edges
    g = _padded(g, ((top, max(bottom, missing)), edges[1]))
    g = g[:, :, left : left + width]
    (low, high), columns = window.padding
    high = max(high, high + window.stride[0] * missing)
    padded = _padded(x, ((low, high), columns))
    sums = []
    for _, part in _shifted(padded, kernel, window, (parts * rows, width)):
        products = [
            part[:, i * rows : (i + 1) * rows]
            * g[:, top + i * rows : top + (i + 1) * rows]
            for i in range(parts)
        ]
        sums.append(functools.reduce(jnp.add, products))
    sums = jax.lax.optimization_barrier(sums)
    ones = jnp.ones((8, batch * rows * width), g.dtype)
    return jnp.stack([(ones @ s.reshape(-1, channels))[0] for s in sums]).reshape(shape)


def _tap(kernel: Array, tap: tuple[int, int]) -> Array:
    """Returns one tap's weights, `[1, 1, 1, channels]`."""
    row, column = tap
    return kernel[row : row + 1, column : column + 1]


def _padded(x: Array, padding: tuple[tuple[int, int], ...]) -> Array:
    """Returns `x` with zeros around it, written once and not once for each tap."""
    if any(map(any, padding)):
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    return jax.lax.optimization_barrier(x)


def _shifted(
    padded: Array, kernel: Array, window: Window, sizes: tuple[int, ...]
) -> Iterator[tuple[tuple[int, int], Array]]:
    """Yields each tap and what it sees at every position of the output."""
    for tap in itertools.product(*map(range, kernel.shape[:2])):
        start = [t * d for t, d in zip(tap, window.dilation, strict=True)]
        stop = [
            n + (size - 1) * s + 1
            for n, size, s in zip(start, sizes, window.stride, strict=True)
        ]
        yield (
            tap,
            jax.lax.slice(
                padded,
                (0, *start, 0),
                (padded.shape[0], *stop, padded.shape[3]),
                (1, *window.stride, 1),
            ),
        )
