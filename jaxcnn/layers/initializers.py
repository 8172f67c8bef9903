"""Initialisers of kernels by name."""

from typing import Any

from jax.nn import initializers

from jaxcnn.layers.checks import check_choice

Initializer = Any

#: He et al., "Delving Deep into Rectifiers", ICCV 2015, https://arxiv.org/abs/1502.01852,
#: equation 14: keeps the variance of gradients through convolutions and ReLUs.
he_normal_fan_out = initializers.variance_scaling(2.0, "fan_out", "normal")

#: `torch` draws as PyTorch's layers do by default: uniformly within 1 / sqrt(fan in).
INITIALIZERS: dict[str, Initializer] = {
    "glorot_normal": initializers.glorot_normal(),
    "glorot_uniform": initializers.glorot_uniform(),
    "he_normal": initializers.he_normal(),
    "he_normal_fan_out": he_normal_fan_out,
    "he_uniform": initializers.he_uniform(),
    "lecun_normal": initializers.lecun_normal(),
    "lecun_uniform": initializers.lecun_uniform(),
    "torch": initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}


def make_initializer(initializer: str | Initializer) -> Initializer:
    """Returns the initialiser of that name, or the function itself.

    Raises:
        ValueError: if the name is unknown.
    """
    if callable(initializer):
        return initializer
    check_choice("kernel_init", initializer, INITIALIZERS)
    return INITIALIZERS[initializer]
