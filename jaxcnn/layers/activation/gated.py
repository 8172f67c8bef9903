"""Activations that multiply `x` by a gate between 0 and 1: they dip a bit below 0."""

import jax

from jaxcnn.typing import Array


def gelu(x: Array) -> Array:
    """Returns `x` times the share of a normal distribution below it; exact.

    - Formula: `x * (1 + erf(x / sqrt(2))) / 2`
    - Range: `[-0.169971, inf)`
    - Derivative: `(1 + erf(x / sqrt(2))) / 2 + x * exp(-(x**2) / 2) / sqrt(2 * pi)`

    PyTorch's default. `jax.nn.gelu` and Flax approximate by default: `gelu_tanh`.

    Example:
        >>> print(f"{gelu(jnp.array(1.0)):.6f}")
        0.841345

    References:
        Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", 2016, section 2,
        https://arxiv.org/abs/1606.08415.
    """
    return jax.nn.gelu(x, approximate=False)


def gelu_tanh(x: Array) -> Array:
    """Returns GELU approximated by a tanh, within 0.0005 of the exact one.

    - Formula: `x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 * x**3))`
    - Range: `[-0.170041, inf)`
    - Derivative: `g + x * g * (1 - g) * 2 * sqrt(2 / pi) * (1 + 0.134145 * x**2)`

    The paper writes `g`, the gate behind `x` in the formula, as
    `(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2`, which is the same.

    Example:
        >>> print(f"{gelu_tanh(jnp.array(1.0)):.6f}")
        0.841192

    References:
        Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", 2016, section 2,
        https://arxiv.org/abs/1606.08415.
    """
    return jax.nn.gelu(x, approximate=True)


def silu(x: Array) -> Array:
    """Returns `x` times its sigmoid, also called swish.

    - Formula: `x * sigmoid(x)`
    - Range: `[-0.278465, inf)`
    - Derivative: `sigmoid(x) * (1 + x * (1 - sigmoid(x)))`

    Example:
        >>> print(f"{silu(jnp.array(1.0)):.6f}")
        0.731059

    References:
        Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network
        Function Approximation in Reinforcement Learning", Neural Networks 107, 2018,
        https://arxiv.org/abs/1702.03118; as swish, Ramachandran, Zoph and Le,
        "Searching for Activation Functions", 2017, https://arxiv.org/abs/1710.05941.
    """
    return jax.nn.silu(x)


def hard_swish(x: Array) -> Array:
    """Returns `x` times its hard sigmoid: swish without an exponential.

    - Formula: `x * clip(x / 6 + 1 / 2, 0, 1)`
    - Range: `[-0.375, inf)`
    - Derivative: `where(x < -3, 0, where(x > 3, 1, x / 3 + 1 / 2))`

    Example:
        >>> hard_swish(jnp.array([-1.5, 0.0, 3.0])).tolist()
        [-0.375, 0.0, 3.0]

    References:
        Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2,
        https://arxiv.org/abs/1905.02244.
    """
    return jax.nn.hard_swish(x)


def mish(x: Array) -> Array:
    """Returns `x` times the tanh of its softplus.

    - Formula: `x * tanh(log(1 + exp(x)))`
    - Range: `[-0.308843, inf)`
    - Derivative: `t + x * (1 - t**2) * sigmoid(x)`

    In the derivative `t` is `tanh(log(1 + exp(x)))`.

    Example:
        >>> print(f"{mish(jnp.array(1.0)):.6f}")
        0.865098

    References:
        Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020,
        https://arxiv.org/abs/1908.08681.
    """
    return jax.nn.mish(x)
