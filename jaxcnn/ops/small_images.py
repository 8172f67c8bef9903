"""Convolution of images that are smaller than the kernel's reach."""

import math
from collections.abc import Callable

from jaxcnn.ops.banded import can_band
from jaxcnn.ops.window import Window
from jaxcnn.typing import Array

# Every tap is a slice of its own in the program.
_TAPS = 49


def suits_cropping(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether some of the kernel's taps meet nothing but padding."""
    sizes = window.sizes(x.shape[1:-1], kernel.shape[:-2])
    if 0 in x.shape or min(sizes) < 1:
        return False
    spans = _used_taps(x, kernel, window)
    return all(first <= last for first, last in spans) and any(
        last - first + 1 < taps
        for (first, last), taps in zip(spans, kernel.shape, strict=False)
    )


def cropped_conv(
    x: Array,
    kernel: Array,
    window: Window,
    *,
    convolve: Callable[[Array, Array, Window], Array],
) -> Array:
    """Returns the convolution with the part of the kernel that meets the image.

    Of a 3x3 kernel with padding over a single pixel one tap is left; of one with
    dilation 18 over 14 pixels too. The gradient of the others is zero.

    Args:
        x: `[batch, *spatial, channels]`.
        kernel: `[*spatial, channels / groups, features]`.
        window: Any.
        convolve: Computes the convolution that is left.

    Returns:
        `[batch, *spatial, features]`.
    """
    spans = _used_taps(x, kernel, window)
    rows = zip(window.padding, spans, window.dilation, kernel.shape, strict=False)
    padding = tuple(
        (low - d * first, high - d * (taps - 1 - last))
        for (low, high), (first, last), d, taps in rows
    )
    kept = kernel[tuple(slice(first, last + 1) for first, last in spans)]
    return convolve(x, kept, window._replace(padding=padding))


def _used_taps(x: Array, kernel: Array, window: Window) -> list[tuple[int, int]]:
    """Returns the first and the last tap along each axis that some output needs."""
    sizes = window.sizes(x.shape[1:-1], kernel.shape[:-2])
    rows = zip(x.shape[1:-1], sizes, kernel.shape[:-2], *window[:3], strict=True)
    return [
        (
            # At the last output it has come as far as the first pixel.
            max(0, -(-(low - (out - 1) * stride) // dilation)),
            # At the first output it has not gone beyond the last pixel.
            min(taps - 1, (n - 1 + low) // dilation),
        )
        for n, out, taps, stride, (low, _), dilation in rows
    ]


def suits_small_image(x: Array, kernel: Array, window: Window) -> bool:
    """Returns whether the kernel is larger than the image, and `banded_conv` is fast.

    XLA then falls back to loops: 3x3 over 64 images of 2x2x512, with padding, took
    eighty times as long.
    """
    return (
        can_band(x, kernel, window)
        and any(n < k for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True))
        and math.prod(kernel.shape[:2]) <= _TAPS
    )
