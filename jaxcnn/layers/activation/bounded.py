"""Activations with values between two bounds, and the identity, which has none."""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def identity(x: Array) -> Array:
    """Returns `x`: a linear layer, such as the last one of a network.

    - Formula: `x`
    - Range: `(-inf, inf)`
    - Derivative: `1`

    Example:
        >>> identity(jnp.array([-2.0, 3.0])).tolist()
        [-2.0, 3.0]

    References:
        Widrow and Hoff, "Adaptive Switching Circuits", IRE WESCON 1960,
        https://isl.stanford.edu/~widrow/papers/c1960adaptiveswitching.pdf.
    """
    return x


def binary_step(x: Array) -> Array:
    """Returns 1 where `x` is at least 0, else 0: the threshold of the first neurons.

    - Formula: `where(x >= 0, 1, 0)`
    - Range: `{0, 1}`
    - Derivative: `0`

    The derivative does not exist at 0 and is 0 elsewhere, so nothing below it learns
    by gradients.

    Example:
        >>> binary_step(jnp.array([-0.5, 0.0, 2.0])).tolist()
        [0.0, 1.0, 1.0]

    References:
        McCulloch and Pitts, "A Logical Calculus of the Ideas Immanent in Nervous
        Activity", Bulletin of Mathematical Biophysics 5, 1943,
        https://doi.org/10.1007/BF02478259.
    """
    return jnp.where(x >= 0, jnp.ones_like(x), jnp.zeros_like(x))


def sigmoid(x: Array) -> Array:
    """Returns the logistic function, which turns logits into probabilities.

    - Formula: `1 / (1 + exp(-x))`
    - Range: `(0, 1)`
    - Derivative: `sigmoid(x) * (1 - sigmoid(x))`

    Example:
        >>> sigmoid(jnp.array([0.0])).tolist()
        [0.5]

    References:
        Rumelhart, Hinton and Williams, "Learning Representations by Back-propagating
        Errors", Nature 323, 1986, equation 2, https://doi.org/10.1038/323533a0.
    """
    return jax.nn.sigmoid(x)


def hard_sigmoid(x: Array) -> Array:
    """Returns three straight lines near the sigmoid, which need no exponential.

    - Formula: `clip(x / 6 + 1 / 2, 0, 1)`
    - Range: `[0, 1]`
    - Derivative: `where(abs(x) < 3, 1 / 6, 0)`

    The slope 1/6 is that of MobileNetV3, PyTorch and Keras 3; Keras 2 had 0.2.

    Example:
        >>> hard_sigmoid(jnp.array([-3.0, 0.0, 1.5, 4.0])).tolist()
        [0.0, 0.5, 0.75, 1.0]

    References:
        Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2,
        https://arxiv.org/abs/1905.02244.
    """
    return jax.nn.hard_sigmoid(x)


def tanh(x: Array) -> Array:
    """Returns the hyperbolic tangent: a sigmoid around 0.

    - Formula: `(exp(x) - exp(-x)) / (exp(x) + exp(-x))`
    - Range: `(-1, 1)`
    - Derivative: `1 - tanh(x) ** 2`

    Example:
        >>> tanh(jnp.array([0.0])).tolist()
        [0.0]

    References:
        LeCun et al., "Efficient BackProp", Neural Networks: Tricks of the Trade, 1998,
        section 4.4, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf.
    """
    return jnp.tanh(x)


def arctan(x: Array) -> Array:
    """Returns the angle whose tangent is `x`: flattens out more slowly than tanh.

    - Formula: `arctan(x)`
    - Range: `(-pi / 2, pi / 2)`
    - Derivative: `1 / (1 + x**2)`

    Example:
        >>> print(f"{arctan(jnp.array(1.0)):.4f}")  # pi / 4
        0.7854

    References:
        Compared with others by Sivri, Pervan Akman and Berkol, "The Impact of
        Irrationals on the Range of Arctan Activation Function for Deep Learning
        Models", International Journal of Engineering Technologies 9(3), 2025,
        https://doi.org/10.19072/ijet.1394093.
    """
    return jnp.arctan(x)


def softsign(x: Array) -> Array:
    """Returns `x` divided by 1 plus its size: flattens out as slowly as arctan.

    - Formula: `x / (1 + abs(x))`
    - Range: `(-1, 1)`
    - Derivative: `1 / (1 + abs(x)) ** 2`

    Example:
        >>> softsign(jnp.array([-1.0, 3.0])).tolist()
        [-0.5, 0.75]

    References:
        Glorot and Bengio, "Understanding the Difficulty of Training Deep Feedforward
        Neural Networks", AISTATS 2010, section 3.3,
        https://proceedings.mlr.press/v9/glorot10a.html.
    """
    return jax.nn.soft_sign(x)
