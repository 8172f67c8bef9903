"""Convolution over few channels as one product with a banded matrix."""

import jax.numpy as jnp

from jaxcnn.ops.products import product
from jaxcnn.ops.window import Window
from jaxcnn.ops.written import written
from jaxcnn.typing import Array

# Wider than this, XLA's own convolution is as fast, and its result needs no patches.
_FEW_CHANNELS = 10
_FEW_FEATURES = 24

# But not under large kernels without padding, for small images: most of all in their
# gradients.
_LARGE_TAPS = 25
_SMALL_WIDTH = 10
_CHANNELS = 96
_FEATURES = 64

# Groups of neighbouring positions in a row, each of them a slice of its own in the
# program, and taps of the kernel: more of either was not measured.
_GROUPS = 64
_TAPS = 49

# Neighbouring positions of the output that one row of the matrix computes, and the
# columns of the matrix, at most: more of them is more arithmetic for nothing.
_SIDE = 4
_COLUMNS = 128


def suits_banding(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `banded_conv` computes it, and is faster on a CPU.

    Of the first layers of LeNet (5x5, 1 to 10 and 10 to 20 channels) XLA's convolution
    reaches a tenth and a quarter of the arithmetic that the machine can do, and its
    gradients less. 5x5 over 12x12x88, without padding, trained 1.5 times as fast.
    """
    return (
        can_band(x, kernel, window)
        and kernel.shape[0] * kernel.shape[1] <= _TAPS
        and (
            (x.shape[-1] <= _FEW_CHANNELS and kernel.shape[-1] <= _FEW_FEATURES)
            or _is_large(x, kernel, window)
        )
        and _groups(x, kernel, window) <= _GROUPS
    )


def _is_large(x: Array, kernel: Array, window: Window) -> bool:
    return (
        kernel.shape[0] * kernel.shape[1] >= _LARGE_TAPS
        and window.stride == (1, 1)
        and not any(map(any, window.padding))
        and window.sizes(x.shape[1:3], kernel.shape[:2])[1] <= _SMALL_WIDTH
        and x.shape[-1] <= _CHANNELS
        and kernel.shape[-1] <= _FEATURES
    )


def _groups(x: Array, kernel: Array, window: Window) -> int:
    width = window.sizes(x.shape[1:3], kernel.shape[:2])[1]
    return width // _side_by_side(width, kernel.shape[-1], window.stride[1])


def can_band(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether `banded_conv` computes it, fast or not."""
    return (
        x.ndim == 4
        and window.groups == 1
        and set(window.dilation) == {1}
        and x.dtype == jnp.float32
        and min(kernel.shape[:2]) > 1
        and all(min(pair) >= 0 for pair in window.padding)
        and 0 not in x.shape
        and min(window.sizes(x.shape[1:3], kernel.shape[:2])) > 0
    )


def banded_conv(x: Array, kernel: Array, window: Window) -> Array:
    """Returns the cross-correlation as one matrix product.

    A row of the one matrix is what t neighbouring positions see, `[rows * span *
    channels]`; the other holds the kernel t times, each a step further down, and zeros
    around: `[rows * span * channels, t * features]`. The zeros are arithmetic for
    nothing, `span / columns` times in all, but what is copied shrinks, and a product
    with a few more columns is much faster than one with ten. JAX derives the
    gradients, which are products with the same matrices.

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[rows, columns, channels, features]`.
        window: Stride and padding.

    Returns:
        `[batch, *spatial, features]`.
    """
    sizes = window.sizes(x.shape[1:3], kernel.shape[:2])
    side = _side_by_side(sizes[1], kernel.shape[-1], window.stride[1])
    span = (side - 1) * window.stride[1] + kernel.shape[1]
    seen = _patches(x, kernel.shape[0], span, side, sizes, window)
    y = product(seen, _band(kernel, span, side, window.stride[1]))
    return y.reshape(x.shape[0], *sizes, kernel.shape[-1])


def _patches(
    x: Array, rows: int, span: int, side: int, sizes: tuple[int, ...], window: Window
) -> Array:
    """Returns what each group of positions sees, `[groups, rows * span * channels]`."""
    height, width = sizes
    down, right = window.stride
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    shape = (*x.shape[:2], span * x.shape[-1])
    starts = range(0, width * right, side * right)
    parts = [x[:, :, k : k + span].reshape(shape) for k in starts]
    # Else every value would look for its place anew.
    seen = written(jnp.stack(parts, axis=2))
    reach = (height - 1) * down + 1
    parts = [seen[:, i : i + reach : down] for i in range(rows)]
    seen = written(jnp.concatenate(parts, axis=-1))
    return seen.reshape(-1, seen.shape[-1])


def _band(kernel: Array, span: int, side: int, right: int) -> Array:
    """Returns the kernel `side` times, `[rows * span * channels, side * features]`."""
    rows, columns, channels, features = kernel.shape
    copies = [
        jnp.pad(kernel, ((0, 0), (b * right, span - columns - b * right), *_NONE))
        for b in range(side)
    ]
    return jnp.stack(copies, axis=3).reshape(rows * span * channels, side * features)


_NONE = ((0, 0), (0, 0))


def _side_by_side(width: int, features: int, right: int) -> int:
    """Returns how many positions share a row of the matrix: they divide the width."""
    # With a stride neighbours share less of what they see.
    most = max(1, min(_SIDE // right, _COLUMNS // features))
    return max(t for t in range(1, most + 1) if width % t == 0)
