"""XLA's convolution, with a gradient by the kernel of large matrix products."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp

from jaxcnn.ops.banded import banded_conv
from jaxcnn.ops.products import over_rows
from jaxcnn.ops.tangents import transposed
from jaxcnn.ops.window import Window, plain_conv, vary_alike
from jaxcnn.ops.written import written
from jaxcnn.typing import Array

# Neighbouring positions of the output that one row of a matrix holds where there are
# few features. With one the product is thin; eight were no faster.
_SIDE = 4
_FEW_FEATURES = 32

# With more channels than this a product for each tap is wide enough as it is.
_FEW_CHANNELS = 64


# Every tap is written out: beyond this many compilation costs more than it saves.
_MOST_TAPS = 49

# With this many channels all rows of the kernel share one product.
_FEWEST_CHANNELS = 4


def suits_products(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `products_conv` computes it, and trains faster on a CPU.

    XLA makes the gradient by a small kernel a convolution whose "kernel" is as large as
    the image, and puts the batch last for it: at 16 channels and 32x32 pixels that
    takes eight times as long as the forward pass.
    """
    return (
        x.ndim == 4
        and window.groups == 1
        and set(window.dilation) == {1}
        and x.dtype == jnp.float32
        and 1 < math.prod(kernel.shape[:2]) <= _MOST_TAPS
        and (kernel.shape[2] <= kernel.shape[3] or _can_swap(kernel.shape[:2], window))
        and all(min(pair) >= 0 for pair in window.padding)
        and 0 not in x.shape
        and min(window.sizes(x.shape[1:3], kernel.shape[:2])) > 0
    )


def products_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns XLA's convolution; its gradient by the kernel is matrix products.

    All orders of both modes of differentiation work; a forward-mode tangent of the
    kernel costs more than here (it is the transpose of the gradient).

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[rows, columns, channels, features]`.
        window: Stride and padding.

    Returns:
        `[batch, *spatial, features]`.
    """
    x, kernel = vary_alike(x, kernel)
    return _conv(x, kernel, window)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _conv(x: Array, kernel: Array, window: Window) -> Array:
    return plain_conv(x, kernel, window)


@functools.partial(_conv.defjvp, symbolic_zeros=True)
def _conv_jvp(window: Window, primals: tuple, tangents: tuple) -> tuple:
    x, kernel = primals
    dx, dkernel = tangents
    y = _conv(x, kernel, window)
    parts = []
    if not isinstance(dx, jax.custom_derivatives.SymbolicZero):
        parts.append(plain_conv(dx.astype(x.dtype), kernel, window))
    if not isinstance(dkernel, jax.custom_derivatives.SymbolicZero):
        gradient = functools.partial(
            kernel_gradient, x, kernel=kernel.shape[:2], window=window
        )
        parts.append(transposed(gradient, y)(dkernel.astype(kernel.dtype)))
    return y, functools.reduce(jnp.add, parts) if parts else jnp.zeros_like(y)


def kernel_gradient(
    x: Array, g: Array, *, kernel: tuple[int, int], window: Window
) -> Array:
    r"""Returns the gradient of a convolution by its kernel.

    With many channels: one matrix product a tap, over batch and positions. With few:
    one row of the kernel at a time. Of an output row, t neighbouring positions lie
    side by side in a matrix, `[.., t * features]`; of the image, what they see does,
    `[.., span * channels]`. The product of the two, over batch and positions, holds
    the gradient of tap j as the sum over b of its blocks (stride * b + j, b). That is
    more arithmetic than asked for, but wide products take less time than thin ones.
    With fewer features than channels image and gradient change places, so that the
    smaller is unfolded; with very few channels all rows are one product.

    Args:
        x: `[batch, height, width, channels]`.
        g: The gradient by the output, `[batch, *spatial, features]`.
        kernel: Rows and columns of the kernel.
        window: Stride and padding.

    Returns:
        `[rows, columns, channels, features]`.
    """
    rows, columns = kernel
    down, right = window.stride
    _, height, width, features = g.shape
    channels = x.shape[-1]
    if channels <= _FEWEST_CHANNELS and min(kernel) > 1:
        return _banded(x, g, kernel, window)
    if features < channels and _can_swap(kernel, window):
        return _swapped(x, g, kernel, window)
    side = _side_by_side(width, features) if channels <= _FEW_CHANNELS else 0
    if not side:
        return _tap_by_tap(x, g, kernel, window)
    span = (side - 1) * right + columns
    seen = _spans(x, window, side, width // side, span)
    flat = g.reshape(-1, side * features)
    taps = []
    for i in range(rows):
        row = seen[:, i : i + (height - 1) * down + 1 : down]
        product = over_rows(row.reshape(-1, span * channels), flat)
        product = product.reshape(span, channels, side, features)
        taps += [
            sum(product[b * right + j, :, b] for b in range(side))
            for j in range(columns)
        ]
    return jnp.stack(taps).reshape(rows, columns, channels, features)


def _can_swap(kernel: tuple[int, int], window: Window) -> bool:
    pairs = zip(kernel, window.padding, strict=True)
    return set(window.stride) == {1} and all(max(pad) < taps for taps, pad in pairs)


def _banded(x: Array, g: Array, kernel: tuple[int, int], window: Window) -> Array:
    weights = jax.ShapeDtypeStruct((*kernel, x.shape[-1], g.shape[-1]), g.dtype)
    transpose = jax.linear_transpose(lambda k: banded_conv(x, k, window), weights)
    return transpose(g)[0]


def _swapped(x: Array, g: Array, kernel: tuple[int, int], window: Window) -> Array:
    """Returns the same, with `g` in the place of the image, of which it is unfolded.

    Tap j of the one is the last but j of the other.
    """
    pairs = zip(kernel, window.padding, strict=True)
    padding = tuple((n - 1 - low, n - 1 - high) for n, (low, high) in pairs)
    window = window._replace(padding=padding)
    gradient = kernel_gradient(g, x, kernel=kernel, window=window)
    return gradient[::-1, ::-1].swapaxes(2, 3)


def _tap_by_tap(x: Array, g: Array, kernel: tuple[int, int], window: Window) -> Array:
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    channels, features = x.shape[-1], g.shape[-1]
    flat = g.reshape(-1, features)
    taps = []
    for tap in itertools.product(*map(range, kernel)):
        spans = zip(tap, g.shape[1:3], window.stride, strict=True)
        seen = x[:, *(slice(t, t + (n - 1) * s + 1, s) for t, n, s in spans)]
        taps.append(over_rows(seen.reshape(-1, channels), flat))
    return jnp.stack(taps).reshape(*kernel, channels, features)


def _spans(x: Array, window: Window, side: int, count: int, span: int) -> Array:
    """Returns what each group of positions sees, `[batch, height, count, span * c]`."""
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    step = side * window.stride[1]
    shape = (*x.shape[:2], span * x.shape[-1])
    parts = [x[:, :, k * step : k * step + span].reshape(shape) for k in range(count)]
    # Else every row of the kernel would gather its part anew.
    return written(jnp.stack(parts, axis=2))


def _side_by_side(width: int, features: int) -> int:
    """Returns how many positions share a row of the matrix: they divide the width."""
    most = _SIDE if features <= _FEW_FEATURES else 1
    return max(t for t in range(1, most + 1) if width % t == 0)
