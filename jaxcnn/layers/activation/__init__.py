"""Activation functions by name, and the activations that hold state or randomness.

The docstring of each gives its formula, its range (`inf` is infinity) and its
derivative in the words of NumPy; the tests evaluate all three.
"""

from jaxcnn.layers.activation.modules import NoisyReLU, PReLU, RReLU
from jaxcnn.layers.activation.table import (
    ACTIVATION_MODULES,
    ACTIVATIONS,
    Activation,
    apply_activation,
    check_activation,
    make_activation,
)

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_MODULES",
    "Activation",
    "NoisyReLU",
    "PReLU",
    "RReLU",
    "apply_activation",
    "check_activation",
    "make_activation",
]
