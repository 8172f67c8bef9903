"""Activation functions by name."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcnn.layers.checks import check_choice
from jaxcnn.typing import Array

Activation = Callable[[Array], Array]

#: `gelu` is the exact one, as in PyTorch; `gelu_tanh` its approximation, which Flax
#: calls gelu.
ACTIVATIONS: dict[str, Activation] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}


def make_activation(activation: str | Activation) -> Activation:
    """Returns the function that `activation` names, or the function itself.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> make_activation("relu")(jnp.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    if callable(activation):
        return activation
    check_choice("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation]
