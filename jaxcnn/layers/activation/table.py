"""The tables of activations, and how a layer takes one by its name."""

import functools
from collections.abc import Callable
from typing import Any

from flax import linen as nn

from jaxcnn.layers.activation import bounded, gated, rectifiers
from jaxcnn.layers.activation.modules import NoisyReLU, PReLU, RReLU
from jaxcnn.layers.checks import check_choice
from jaxcnn.typing import Array

Activation = Callable[[Array], Array]

#: Functions of the input alone. `gelu` is the exact one, as in PyTorch; `gelu_tanh` its
#: approximation, which Flax calls gelu. `swish` is another name of `silu`.
ACTIVATIONS: dict[str, Activation] = {
    "identity": bounded.identity,
    "binary_step": bounded.binary_step,
    "sigmoid": bounded.sigmoid,
    "hard_sigmoid": bounded.hard_sigmoid,
    "tanh": bounded.tanh,
    "arctan": bounded.arctan,
    "softsign": bounded.softsign,
    "relu": rectifiers.relu,
    "relu6": rectifiers.relu6,
    "leaky_relu": rectifiers.leaky_relu,
    "elu": rectifiers.elu,
    "selu": rectifiers.selu,
    "celu": rectifiers.celu,
    "softplus": rectifiers.softplus,
    "gelu": gated.gelu,
    "gelu_tanh": gated.gelu_tanh,
    "silu": gated.silu,
    "swish": gated.silu,
    "hard_swish": gated.hard_swish,
    "mish": gated.mish,
}

#: Linen modules called with `train`, for what a function of the input cannot do.
ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "prelu": PReLU,
    "rrelu": RReLU,
    "noisy_relu": NoisyReLU,
}


def make_activation(activation: str | Activation) -> Activation:
    """Returns the function that `activation` names, or the function itself.

    Raises:
        ValueError: if the name is unknown, or that of a module, which a function of
            the input cannot stand for.

    Example:
        >>> make_activation("relu")(jnp.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    check_activation(activation)
    module = _module_class(activation)
    if module is not None:
        raise ValueError(
            f"activation={activation!r} learns or draws random numbers: it is the "
            f"module {module.__name__}, not a function, and cannot be used here. "
            "A module of your own takes it by jaxcnn.layers.apply_activation."
        )
    return ACTIVATIONS[activation] if isinstance(activation, str) else activation


def check_activation(activation: Any) -> None:
    """Raises unless `apply_activation` can take `activation`.

    Raises:
        ValueError: if it is an unknown name, a module instead of its class, or nothing
            that can be called.
    """
    if isinstance(activation, nn.Module):
        name = type(activation).__name__
        raise ValueError(
            f"activation is one module {name}, which all layers would share: give "
            f"its class, or functools.partial({name}, ...) to set its attributes."
        )
    if not callable(activation):
        check_choice("activation", activation, {**ACTIVATIONS, **ACTIVATION_MODULES})


def apply_activation(
    activation: str | Activation, x: Array, *, train: bool, name: str
) -> Array:
    """Returns the activation of `x`, for use inside a module's compact method.

    Args:
        activation: A name of `ACTIVATIONS` or of `ACTIVATION_MODULES`; a function of
            `x` alone; a class of modules called with `train`, or a
            `functools.partial` of one, which becomes a module of the caller.
        x: The input.
        train: Whether this is training, for modules.
        name: The name of the module, if it is one; a function leaves no trace.

    Raises:
        ValueError: as `check_activation`.
    """
    check_activation(activation)
    if _module_class(activation) is None:
        return make_activation(activation)(x)
    make = ACTIVATION_MODULES.get(activation, activation)
    return make(name=name)(x, train=train)


def _module_class(activation: Any) -> type[nn.Module] | None:
    """Returns the class of the modules that it makes; None for a function."""
    made = ACTIVATION_MODULES.get(activation, activation)
    while isinstance(made, functools.partial):
        made = made.func
    return made if isinstance(made, type) and issubclass(made, nn.Module) else None
