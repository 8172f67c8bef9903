"""Rectifiers: `x` where it is positive, and little or nothing where it is negative."""

import jax

from jaxcnn.typing import Array


def relu(x: Array) -> Array:
    """Returns `x` where it is positive, else 0.

    - Formula: `maximum(x, 0)`
    - Range: `[0, inf)`
    - Derivative: `where(x > 0, 1, 0)`

    Example:
        >>> relu(jnp.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]

    References:
        Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann
        Machines", ICML 2010, https://www.cs.toronto.edu/~fritz/absps/reluICML.pdf.
    """
    return jax.nn.relu(x)


def relu6(x: Array) -> Array:
    """Returns ReLU cut off at 6, which keeps values within few bits.

    - Formula: `clip(x, 0, 6)`
    - Range: `[0, 6]`
    - Derivative: `where((x > 0) & (x < 6), 1, 0)`

    Example:
        >>> relu6(jnp.array([-1.0, 2.0, 8.0])).tolist()
        [0.0, 2.0, 6.0]

    References:
        Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010,
        http://www.cs.utoronto.ca/~kriz/conv-cifar10-aug2010.pdf.
    """
    return jax.nn.relu6(x)


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """Returns ReLU with a small slope below 0, so that no unit stops to learn.

    - Formula: `where(x >= 0, x, slope * x)`
    - Range: `(-inf, inf)`
    - Derivative: `where(x >= 0, 1, slope)`

    Args:
        x: Any array.
        slope: The slope below 0.

    Example:
        >>> leaky_relu(jnp.array([-1.0, 2.0]), 0.25).tolist()
        [-0.25, 2.0]

    References:
        Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic
        Models", ICML workshop 2013 (slope 0.01),
        https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf.
    """
    return jax.nn.leaky_relu(x, slope)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """Returns `x`, or below 0 an exponential that levels off at `-alpha`.

    - Formula: `where(x > 0, x, alpha * (exp(x) - 1))`
    - Range: `(-alpha, inf)`
    - Derivative: `where(x > 0, 1, alpha * exp(x))`

    Args:
        x: Any array.
        alpha: How far below 0 it goes.

    Example:
        >>> elu(jnp.array([-100.0, 2.0])).tolist()
        [-1.0, 2.0]

    References:
        Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning
        by Exponential Linear Units (ELUs)", ICLR 2016, section 3,
        https://arxiv.org/abs/1511.07289.
    """
    return jax.nn.elu(x, alpha)


def selu(x: Array) -> Array:
    """Returns the scaled ELU that draws activations to mean 0 and variance 1.

    - Formula: `1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(x) - 1))`
    - Range: `(-1.7580993408473766, inf)`
    - Derivative: `1.0507009873554805 * where(x > 0, 1, 1.6732632423543772 * exp(x))`

    It does so with LeCun-normal kernels, for which the constants are solved.

    Example:
        >>> print(f"{selu(jnp.array(-100.0)):.4f} {selu(jnp.array(1.0)):.4f}")
        -1.7581 1.0507

    References:
        Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017, section 2,
        https://arxiv.org/abs/1706.02515.
    """
    return jax.nn.selu(x)


def celu(x: Array, alpha: float = 1.0) -> Array:
    """Returns the ELU whose derivative is continuous for every `alpha`.

    - Formula: `where(x > 0, x, alpha * (exp(x / alpha) - 1))`
    - Range: `(-alpha, inf)`
    - Derivative: `where(x > 0, 1, exp(x / alpha))`

    Args:
        x: Any array.
        alpha: How far below 0 it goes. At 1 it is ELU.

    Example:
        >>> celu(jnp.array([-100.0, 2.0]), 0.5).tolist()
        [-0.5, 2.0]

    References:
        Barron, "Continuously Differentiable Exponential Linear Units", 2017,
        https://arxiv.org/abs/1704.07483.
    """
    return jax.nn.celu(x, alpha)


def softplus(x: Array) -> Array:
    """Returns a smooth ReLU; its derivative is the sigmoid.

    - Formula: `log(1 + exp(x))`
    - Range: `(0, inf)`
    - Derivative: `sigmoid(x)`

    Example:
        >>> print(f"{softplus(jnp.array(0.0)):.4f}")  # log(2)
        0.6931

    References:
        Dugas et al., "Incorporating Second-Order Functional Knowledge for Better
        Option Pricing", NIPS 2000,
        https://papers.nips.cc/paper/1920-incorporating-second-order-functional-knowledge-for-better-option-pricing.
    """
    return jax.nn.softplus(x)
