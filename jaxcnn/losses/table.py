"""Losses by name, for configurations, and by what they compare."""

import functools
import inspect
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.losses.classification import margin_loss, softmax_cross_entropy
from jaxcnn.losses.focal import focal_loss, sigmoid_focal_loss
from jaxcnn.losses.multi_label import sigmoid_cross_entropy
from jaxcnn.losses.overlap import dice_loss, jaccard_loss
from jaxcnn.losses.reconstruction import (
    absolute_error,
    binary_cross_entropy,
    half_squared_error,
    huber,
    squared_error,
    ssim_loss,
)
from jaxcnn.named import call_named
from jaxcnn.tree import nearest
from jaxcnn.typing import Array

Loss = Callable[[Array, Array], Array]

_KINDS = {
    "classification": (softmax_cross_entropy, focal_loss, margin_loss),
    "multi_label": (sigmoid_cross_entropy, sigmoid_focal_loss, margin_loss),
    "regression": (squared_error, half_squared_error, absolute_error, huber),
    "reconstruction": (
        *(squared_error, half_squared_error, absolute_error, huber),
        *(binary_cross_entropy, ssim_loss),
    ),
    "segmentation": (dice_loss, jaccard_loss),
}

#: The losses by name: `loss(outputs, targets, **options)`, `[batch]`.
LOSSES = MappingProxyType(
    {loss.__name__: loss for losses in _KINDS.values() for loss in losses}
)


def list_losses(kind: str | None = None) -> list[str]:
    """Returns the names that `make_loss` knows.

    Args:
        kind: Only those of one kind: `"classification"`, `"multi_label"`,
            `"regression"`, `"reconstruction"` or `"segmentation"`.

    Raises:
        ValueError: if there is no such kind.

    Example:
        >>> list_losses("segmentation")
        ['dice_loss', 'jaccard_loss']
    """
    if kind is None:
        return sorted(LOSSES)
    if kind not in _KINDS:
        raise ValueError(
            f"Unknown kind of loss {kind!r}.{nearest(kind, _KINDS)} "
            f"Allowed: {', '.join(_KINDS)}."
        )
    return sorted(loss.__name__ for loss in _KINDS[kind])


def make_loss(name: str, *, kind: str | None = None, **options: Any) -> Loss:
    """Returns `loss(outputs, targets)`, `[batch]`, with its options bound.

    Args:
        name: One of `list_losses(kind)`.
        kind: What it will be used for, if only losses for that may be named.
        **options: Of the loss of that name, such as `gamma` of `"focal_loss"`.

    Raises:
        ValueError: if the name or an option is unknown, with the nearest that is not,
            or a value is out of range.

    Example:
        >>> loss = make_loss("huber", delta=0.5)
        >>> print(loss(jnp.array([[1.0]]), jnp.array([[0.0]])))
        [0.375]
    """
    table = {known: _binder(LOSSES[known]) for known in list_losses(kind)}
    loss = call_named("loss", table, name, **options)
    _try(name, loss, options)
    return loss


def _binder(loss: Callable[..., Array]) -> Callable[..., Loss]:
    """Returns a function of the loss's options alone, as `call_named` reads them."""

    def bind(**options: Any) -> Loss:
        return functools.partial(loss, **options)

    parameters = list(inspect.signature(loss).parameters.values())
    bind.__signature__ = inspect.Signature(parameters[2:])
    return bind


def _try(name: str, loss: Loss, options: dict[str, Any]) -> None:
    """Calls the loss without computing, so that a bad option is refused at once."""
    sizes = (options.get(given) for given in ("class_weights", "positive_weight"))
    classes = max([2, *(len(x) for x in sizes if x is not None and np.ndim(x))])
    if name in _names("segmentation"):
        outputs = targets = (1, 2, classes)
    elif name in _names("multi_label"):
        outputs = targets = (1, classes)
    elif name in _names("classification"):
        outputs, targets = (1, classes), (1,)
    else:
        outputs = targets = (1, 11, 11, 1)
    dtype = jnp.int32 if targets == (1,) else jnp.float32
    try:
        jax.eval_shape(
            loss,
            jax.ShapeDtypeStruct(outputs, jnp.float32),
            jax.ShapeDtypeStruct(targets, dtype),
        )
    except TypeError as error:  # a word for a number
        raise ValueError(
            f"The loss {name!r} cannot take {options}: {error}."
        ) from error


def _names(kind: str) -> list[str]:
    return [loss.__name__ for loss in _KINDS[kind]]
