"""Gradients cut short, unit by unit or as a whole, and centred."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcnn import tree
from jaxcnn.optim.ranges import check_range
from jaxcnn.typing import Array, PyTree

#: What `clip_adaptive` leaves alone: the last layer of the library's models.
HEAD = r"(^|/)head/"


def unit_norm(x: Array) -> Array:
    """Returns the norm of every unit of a parameter, to be broadcast over it.

    The unit of a kernel `[..., in, out]` is what makes one output: the norm is taken
    over all axes but the last. Of a vector or a scalar it is the whole.
    """
    axes = tuple(range(x.ndim - 1)) if x.ndim > 1 else None
    return jnp.sqrt(jnp.sum(jnp.square(x), axis=axes, keepdims=True))


def clip_adaptive(
    clipping: float, *, eps: float = 1e-3, skip: str | None = HEAD
) -> optax.GradientTransformation:
    r"""Returns adaptive gradient clipping.

    A unit's gradient :math:`g` is scaled down where it is long against its weights
    :math:`w`:

    .. math::
        g \leftarrow g\, \min\left(1,
            \lambda \frac{\max(\lVert w \rVert, \epsilon)}{\lVert g \rVert}\right).

    Unlike `optax.adaptive_grad_clip` it knows the kernels of sequences, `[length, in,
    out]`, and leaves the head alone (section 4.1 of the paper).

    Args:
        clipping: :math:`\lambda`; the paper uses 0.01 for large batches.
        eps: :math:`\epsilon`, so that weights of zero can move.
        skip: Regular expression: parameters whose gradients stay; None for none.

    Raises:
        ValueError: if a number is out of range.

    References:
        Brock et al., "High-Performance Large-Scale Image Recognition Without
        Normalization", ICML 2021, section 4, https://arxiv.org/abs/2102.06171.
    """
    check_range("clip_adaptive", clipping, low=0, open_low=True)
    check_range("clip_eps", eps, low=0, open_low=True)

    def clip(gradient: Array, param: Array) -> Array:
        limit = clipping * jnp.maximum(unit_norm(param), eps)
        length = unit_norm(gradient)
        # The maximum keeps 0/0 out of gradients of zero, which are never too long.
        short = gradient * (limit / jnp.maximum(length, 1e-12)).astype(gradient.dtype)
        return jnp.where(length > limit, short, gradient)

    transformation = optax.stateless_with_tree_map(clip)
    if skip is None:
        return transformation
    return optax.masked(transformation, lambda params: _not_named(params, skip))


def _not_named(params: PyTree, pattern: str) -> PyTree:
    return tree.map_named(lambda name, _: not re.search(pattern, name), params)


def centralize() -> optax.GradientTransformation:
    """Returns gradient centralisation: every unit's gradient gets the mean zero.

    It acts on kernels `[..., in, out]`, over all axes but the last; vectors stay.
    `optax.centralize` takes the first axis for the outputs, which in Flax it is not.

    References:
        Yong et al., "Gradient Centralization", ECCV 2020, equation 1,
        https://arxiv.org/abs/2004.01461.
    """

    def centre(gradient: Array, param: Any = None) -> Array:
        if gradient.ndim < 2:
            return gradient
        axes = tuple(range(gradient.ndim - 1))
        return gradient - jnp.mean(gradient, axis=axes, keepdims=True)

    return optax.stateless(lambda updates, _: jax.tree.map(centre, updates))
