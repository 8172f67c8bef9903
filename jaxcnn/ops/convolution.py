"""Convolution and padding over any number of spatial axes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.ops.banded import banded_conv, suits_banding
from jaxcnn.ops.depthwise import depthwise_conv, suits_depthwise
from jaxcnn.ops.grouped import grouped_conv, suits_groups
from jaxcnn.ops.kernel_gradient import products_conv, suits_products
from jaxcnn.ops.pointwise import pointwise_conv, suits_pointwise
from jaxcnn.ops.small_images import cropped_conv, suits_cropping, suits_small_image
from jaxcnn.ops.unfolded import suits_unfolding, unfolded_conv
from jaxcnn.ops.window import Window, plain_conv
from jaxcnn.ops.winograd import suits_winograd, winograd_conv
from jaxcnn.typing import Array, Dtype

Lowering = Callable[[Array, Array, Window], Array]


def _cropped(x: Array, kernel: Array, window: Window) -> Array:
    return cropped_conv(x, kernel, window, convolve=_by_platform)


def _of_groups(x: Array, kernel: Array, window: Window) -> Array:
    return grouped_conv(x, kernel, window, convolve=_by_platform)


#: What replaces XLA's convolution on a CPU: whether a lowering suits an image and a
#: kernel (their shapes and types alone count), and the lowering. The first that suits
#: is taken. Other platforms keep XLA's.
CPU_LOWERINGS: tuple[tuple[Callable[[Array, Array, Window], bool], Lowering], ...] = (
    (suits_cropping, _cropped),
    (suits_pointwise, pointwise_conv),
    (suits_depthwise, depthwise_conv),
    (suits_groups, _of_groups),
    (suits_unfolding, unfolded_conv),
    (suits_banding, banded_conv),
    (suits_winograd, winograd_conv),
    (suits_small_image, banded_conv),
    (suits_products, products_conv),
)

#: These come back with smaller convolutions and choose by platform for each.
_IN_PARTS = (_cropped, _of_groups)

#: What `pad` calls the ways to continue an image beyond its border, by the names that
#: PyTorch uses, and what NumPy calls them.
PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def conv(
    x: Array,
    kernel: Array,
    *,
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    """Returns the cross-correlation that networks call convolution: no flipping.

    Args:
        x: `[batch, *spatial, channels]` with one to three spatial axes.
        kernel: `[*spatial, channels / groups, features]`.
        stride: Step along each spatial axis.
        padding: Zeros (before, after) each spatial axis.
        dilation: Distance between the kernel's taps along each spatial axis.
        groups: Groups of channels that do not see each other.

    Returns:
        `[batch, *spatial, features]`.
    """
    window = Window(
        tuple(stride),
        tuple((low, high) for low, high in padding),
        tuple(dilation),
        groups,
    )
    return _by_platform(x, kernel, window)


def _by_platform(x: Array, kernel: Array, window: Window) -> Array:
    for suits, lowering in CPU_LOWERINGS:
        if suits(x, kernel, window):
            if lowering not in _IN_PARTS:
                lowering = functools.partial(_traced_once, lowering=lowering)
            return jax.lax.platform_dependent(
                x,
                kernel,
                cpu=functools.partial(lowering, window=window),
                default=functools.partial(plain_conv, window=window),
            )
    return plain_conv(x, kernel, window)


# Layers of one shape are traced, differentiated and written to the program once. XLA
# inlines the calls before anything else. The choice of the platform stays outside: in
# a compiled function's gradient it would be an argument, known too late to XLA.
@functools.partial(jax.jit, static_argnames=("window", "lowering"))
def _traced_once(
    x: Array, kernel: Array, *, window: Window, lowering: Lowering
) -> Array:
    return lowering(x, kernel, window)


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Dtype | None = None,
    **options: Any,
) -> Array:
    """Returns what `jax.lax.conv_general_dilated` does, by the lowering that is fast.

    It takes the same arguments, so a `flax.linen.Conv` takes it as an argument; the
    parameters stay as they are.
    What `conv` does not do (another layout, a dilated image, groups of the batch, a
    precision or type that is asked for) goes to JAX's own.

    Args:
        lhs: The image; `[batch, *spatial, channels]` for a lowering of ours.
        rhs: The kernel; `[*spatial, channels / groups, features]`.
        window_strides: Step along each spatial axis.
        padding: `"SAME"`, `"VALID"`, `"SAME_LOWER"`, or zeros (before, after) each
            spatial axis.
        lhs_dilation: Distance between the image's pixels.
        rhs_dilation: Distance between the kernel's taps.
        dimension_numbers: As JAX's.
        feature_group_count: Groups of channels that do not see each other.
        batch_group_count: Groups of the batch.
        precision: As JAX's.
        preferred_element_type: As JAX's.
        **options: Whatever else JAX's takes.

    Example:
        >>> from flax import linen as nn
        >>> layer = nn.Conv(8, (3, 3), conv_general_dilated=conv_general_dilated)
        >>> layer.init_with_output(jax.random.key(0), jnp.ones((1, 9, 9, 2)))[0].shape
        (1, 9, 9, 8)
    """
    rank = lhs.ndim - 2
    numbers = jax.lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    ours = (
        1 <= rank <= 3
        and numbers == _channels_last(rank)
        and set(lhs_dilation or (1,)) == {1}
        and batch_group_count == 1
        and precision is None
        and preferred_element_type in (None, lhs.dtype)
        and lhs.dtype == rhs.dtype
        and jnp.issubdtype(lhs.dtype, jnp.floating)
        and not options
    )
    if not ours:
        return jax.lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
            **options,
        )
    dilation = tuple(rhs_dilation or (1,) * rank)
    if isinstance(padding, str):
        spans = [d * (n - 1) + 1 for d, n in zip(dilation, rhs.shape, strict=False)]
        padding = jax.lax.padtype_to_pads(
            lhs.shape[1:-1], spans, window_strides, padding
        )
    return conv(
        lhs,
        rhs,
        stride=window_strides,
        padding=padding,
        dilation=dilation,
        groups=feature_group_count,
    )


def _channels_last(rank: int) -> jax.lax.ConvDimensionNumbers:
    spatial = tuple(range(1, rank + 1))
    image = (0, rank + 1, *spatial)
    kernel = (rank + 1, rank, *range(rank))
    return jax.lax.ConvDimensionNumbers(image, kernel, image)


def pad(x: Array, padding: Sequence[tuple[int, int]], mode: str = "zeros") -> Array:
    """Returns `x` continued beyond the borders of its spatial axes.

    Args:
        x: `[batch, *spatial, channels]`.
        padding: Positions to add (before, after) each spatial axis.
        mode: `"zeros"`; `"reflect"`, mirrored at the border pixel, which is not
            repeated; `"replicate"`, the border pixel again; `"circular"`, from the
            other side.

    Raises:
        ValueError: if the mode is unknown, or the image is too small for it.

    Example:
        >>> row = jnp.array([1, 2, 3])[None, :, None]
        >>> [pad(row, [(2, 2)], mode)[0, :, 0].tolist() for mode in PADDING_MODES]
        [[0, 0, 1, 2, 3, 0, 0], [3, 2, 1, 2, 3, 2, 1], [1, 1, 1, 2, 3, 3, 3],
         [2, 3, 1, 2, 3, 1, 2]]
    """
    if mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode={mode!r} is unknown. Allowed: "
            f"{', '.join(map(repr, PADDING_MODES))}."
        )
    for size, pair in zip(x.shape[1:-1], padding, strict=True):
        room = size - (mode == "reflect")
        if mode in ("reflect", "circular") and max(pair) > room:
            raise ValueError(
                f"padding_mode={mode!r} can add at most {room} pixels to an axis of "
                f"{size}, not {max(pair)}: the input has shape {tuple(x.shape)}."
            )
    widths = [(0, 0), *map(tuple, padding), (0, 0)]
    return jnp.pad(x, widths, mode=PADDING_MODES[mode])
