"""The models of the library with the layers that plain Flax has: no lowering of ours.

This is for measuring alone. The names of the library's operations are bound in many
modules; `plain_layers` puts `jax.lax`'s and Flax's own in the place of all of them
while the block lasts, and fails if one is gone.
"""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def conv(x, kernel, *, stride, padding, dilation, groups=1):
    """Returns XLA's own convolution."""
    axes = "DHW"[-(x.ndim - 2) :]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=tuple(stride),
        padding=list(padding),
        rhs_dilation=tuple(dilation),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=groups,
    )


def double_conv_transpose(x, kernel, size):
    """Returns what `nn.ConvTranspose` computes, cut to a size."""
    y = jax.lax.conv_transpose(
        x, kernel, (2, 2), [(2, 2), (2, 2)], transpose_kernel=True
    )
    return y[:, : size[0], : size[1]]


def max_pool(x, window, stride=None, padding="VALID", *, ceil_mode=False):
    """Returns Flax's max pool."""
    from jaxcnn.ops import pooling

    arguments = pooling._arguments("max_pool", x, window, stride, padding, ceil_mode)
    return nn.max_pool(x, *arguments)


def avg_pool(
    x, window, stride=None, padding="VALID", *, count_include_pad=True, ceil_mode=False
):
    """Returns Flax's average pool, which knows no `ceil_mode`."""
    from jaxcnn.ops import pooling

    if ceil_mode:
        raise ValueError("Flax's average pool has no ceil_mode.")
    arguments = pooling._arguments("avg_pool", x, window, stride, padding, ceil_mode)
    return nn.avg_pool(x, *arguments, count_include_pad)


def global_average_pool(x):
    """Returns the mean over all positions."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))


#: Where each operation is defined, and what plain Flax has in its place.
PLAIN: dict[tuple[str, str], Callable] = {
    ("jaxcnn.ops.convolution", "conv"): conv,
    ("jaxcnn.ops.transposed", "double_conv_transpose"): double_conv_transpose,
    ("jaxcnn.ops.pooling", "max_pool"): max_pool,
    ("jaxcnn.ops.pooling", "avg_pool"): avg_pool,
    ("jaxcnn.ops.pooling", "global_average_pool"): global_average_pool,
    ("jaxcnn.layers.norm", "batch_norm"): functools.partial(
        nn.BatchNorm, momentum=0.9, epsilon=1e-5
    ),
}


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Replaces the library's operations by plain ones while the block lasts.

    Raises:
        AttributeError: if an operation is no longer where `PLAIN` says.
    """
    changed: list[tuple[Any, str, Any]] = []
    try:
        for (module, name), plain in PLAIN.items():
            ours = getattr(importlib.import_module(module), name)
            for holder, attribute in _holders(ours):
                changed.append((holder, attribute, ours))
                setattr(holder, attribute, plain)
        with nn.intercept_methods(_plain_linen):
            yield
    finally:
        for holder, attribute, ours in changed:
            setattr(holder, attribute, ours)


def _holders(value: Any) -> list[tuple[Any, str]]:
    """Returns each module of the library, and the name there, that holds a value."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] == "jaxcnn" and module is not None
    ]
    return [
        (module, attribute)
        for module in modules
        for attribute, found in list(vars(module).items())
        if found is value
    ]


def _plain_linen(call, args, kwargs, context):
    """Takes a lowering away from `nn.Conv` layers that were given one."""
    module = context.module
    if context.method_name == "__call__" and isinstance(module, nn.Conv):
        for name in ("conv_general_dilated", "conv_general_dilated_cls"):
            if getattr(module, name, None) is not None:
                object.__setattr__(module, name, None)
    return call(*args, **kwargs)
