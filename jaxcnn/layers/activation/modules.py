"""Activations that learn a parameter or draw random numbers: Linen modules."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array


class PReLU(nn.Module):
    """Leaky ReLU whose slope below 0 is learned, the parameter `alpha`.

    - Formula: `where(x >= 0, x, alpha * x)`
    - Range: `(-inf, inf)`
    - Derivative: `where(x >= 0, 1, alpha)`

    The derivative by `alpha` is `minimum(x, 0)`. Weight decay would draw the slope to
    0, and with it PReLU to ReLU (the paper, section 2.1).

    Attributes:
        per_channel: One slope for each channel, `[channels]`, instead of one for the
            layer, `[1]`, which is PyTorch's default. The paper has both.
        alpha_init: The slope before training.

    References:
        He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.1,
        https://arxiv.org/abs/1502.01852.
    """

    per_channel: bool = False
    alpha_init: float = 0.25

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Returns `[..., channels]`. `train` makes no difference."""
        init = nn.initializers.constant(self.alpha_init)
        count = x.shape[-1] if self.per_channel else 1
        alpha = self.param("alpha", init, (count,)).astype(x.dtype)
        return jnp.where(x >= 0, x, alpha.reshape((1,) * (x.ndim - 1) + (-1,)) * x)


class RReLU(nn.Module):
    """Leaky ReLU whose slope is random in training and its mean in evaluation.

    - Formula: `where(x >= 0, x, slope * x)`
    - Range: `(-inf, inf)`
    - Derivative: `where(x >= 0, 1, slope)`

    In training each value draws its own `slope`, uniform between `lower` and `upper`,
    with keys of the collection `"dropout"`; in evaluation it is `(lower + upper) / 2`.
    That is PyTorch's. The paper divides by a uniform number between 3 and 8 instead,
    in evaluation by 5.5.

    Attributes:
        lower: The least slope.
        upper: The greatest slope.

    References:
        Xu et al., "Empirical Evaluation of Rectified Activations in Convolutional
        Network", 2015, section 2.4, https://arxiv.org/abs/1505.00853.
    """

    lower: float = 1 / 8
    upper: float = 1 / 3

    def __post_init__(self) -> None:
        check_number("lower", self.lower, 0, whole=False)
        check_number("upper", self.upper, self.lower, whole=False)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns an array of the shape that came."""
        slope = (self.lower + self.upper) / 2
        if train:
            key = self.make_rng("dropout")
            slope = jax.random.uniform(key, x.shape, x.dtype, self.lower, self.upper)
        return jnp.where(x >= 0, x, slope * x)


class NoisyReLU(nn.Module):
    """ReLU of `x` plus noise whose variance is the sigmoid of `x`; in evaluation ReLU.

    - Formula: `maximum(x + sqrt(sigmoid(x)) * noise, 0)`
    - Range: `[0, inf)`
    - Derivative: `where(y > 0, 1 + noise * sqrt(sigmoid(x)) * (1 - sigmoid(x)) / 2, 0)`

    `y` is the output. In training `noise` is standard normal, drawn for each value with
    keys of the collection `"dropout"`; in evaluation it is 0. The sum stands for
    infinitely many binary units with shared weights whose biases are -0.5, -1.5, ...

    References:
        Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann
        Machines", ICML 2010, section 2,
        https://www.cs.toronto.edu/~fritz/absps/reluICML.pdf.
    """

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns an array of the shape that came."""
        if not train:
            return nn.relu(x)
        noise = jax.random.normal(self.make_rng("dropout"), x.shape, x.dtype)
        # The root of a sigmoid that has underflowed would have no finite derivative.
        deviation = jnp.exp(nn.log_sigmoid(x) / 2)
        return nn.relu(x + deviation * noise)
