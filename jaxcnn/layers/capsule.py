"""Capsules, vectors whose length says what is there, and routing by agreement.

Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", NeurIPS 2017,
https://arxiv.org/abs/1710.09829.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.layers.conv import Conv, Padding, Size
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.typing import Array, Dtype


def squash(x: Array) -> Array:
    r"""Returns vectors of the same direction with lengths in [0, 1).

    .. math:: v = \frac{|s|^2}{1 + |s|^2} \frac{s}{|s|}

    Short vectors shrink to almost nothing, long ones to just below 1. Value and
    gradient of the zero vector are zero; no constant is added to the length.

    Args:
        x: Vectors along the last axis, `[..., dims]`.

    Returns:
        `[..., dims]`, of the same type, computed in float32.

    Example:
        >>> vectors = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> print((26 * squash(vectors)).round(2))  # lengths 0 and 25 / 26
        [[ 0.  0.]
         [15. 20.]]

    References:
        Sabour et al., NeurIPS 2017, equation 1, https://arxiv.org/abs/1710.09829.
    """
    s = x.astype(jnp.float32)
    squared = jnp.square(s).sum(axis=-1, keepdims=True)
    return (s * (_root(squared) / (1 + squared))).astype(x.dtype)


def capsule_lengths(x: Array) -> Array:
    """Returns the Euclidean length of every vector, float32 `[...]`.

    The gradient at the zero vector is zero, where that of the norm is not defined.

    Args:
        x: Vectors along the last axis, `[..., dims]`.

    Example:
        >>> print(capsule_lengths(jnp.array([[3.0, 4.0], [0.0, 0.0]])))
        [5. 0.]
    """
    return _root(jnp.square(x.astype(jnp.float32)).sum(axis=-1))


def _root(squared: Array) -> Array:
    """Returns the square root, with the gradient 0 at 0 instead of infinity."""
    # Selected before and after: a gradient of nan would pass through one `where`.
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


class PrimaryCapsules(nn.Module):
    """A convolution, `conv`, whose channels are read as capsules, squashed.

    Every position of the output holds `capsules` of them, which share their weights
    with those of the same number at all other positions.

    Attributes:
        capsules: Capsules at every position.
        dims: Length of a capsule's vector.
        kernel_size: One number, or one for each spatial axis.
        stride: One number, or one for each spatial axis.
        padding: As in `conv_padding`.
        kernel_init: Initialiser of the kernel.
        dtype: Computation type; parameters stay float32.

    References:
        Sabour et al., NeurIPS 2017, section 4, https://arxiv.org/abs/1710.09829.
    """

    capsules: int = 32
    dims: int = 8
    kernel_size: Size = 9
    stride: Size = 2
    padding: Padding = "valid"
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("capsules", self.capsules, 1)
        check_number("dims", self.dims, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[batch, positions * capsules, dims]`.

        Args:
            x: `[batch, *spatial, channels]`.
        """
        x = Conv(
            self.capsules * self.dims,
            self.kernel_size,
            self.stride,
            self.padding,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return squash(x.reshape(x.shape[0], -1, self.dims))


class RoutedCapsules(nn.Module):
    r"""Capsules that all capsules below vote for, weighed by how they agree.

    Capsule i below predicts every capsule j here by a matrix of its own,
    :math:`\hat u_{j|i} = W_{ij} u_i`. Then, from :math:`b_{ij} = 0`, `routings` times:

    .. math::

        c_{ij} = \frac{e^{b_{ij}}}{\sum_k e^{b_{ik}}}, \quad
        v_j = \mathrm{squash}\Bigl(\sum_i c_{ij} \hat u_{j|i}\Bigr), \quad
        b_{ij} \leftarrow b_{ij} + \hat u_{j|i} \cdot v_j.

    The softmax is over the capsules here: each capsule below parts its vote among
    them. The logits b start at zero for every example and are no parameters, and there
    is no bias.

    The gradient is that of the whole procedure, through every iteration and so through
    the coefficients c. The paper does not say what it takes; some implementations count
    the coefficients as constants.

    The only parameter is `kernel`, `[capsules below * dims below, capsules * dims]`:
    row (i, d) and column (j, e) hold element (e, d) of :math:`W_{ij}`.

    Attributes:
        capsules: How many, J.
        dims: Length of a capsule's vector.
        routings: Iterations, 1 or more; 1 is the squashed mean over J.
        kernel_init: Initialiser of the kernel. By default normal with deviation 0.1
            (the paper names none): lengths are then well below 1 at the start.
        dtype: Type of the predictions; the routing itself is float32.

    References:
        Sabour et al., NeurIPS 2017, procedure 1, https://arxiv.org/abs/1710.09829.
    """

    capsules: int
    dims: int = 16
    routings: int = 3
    kernel_init: Initializer = nn.initializers.normal(0.1)
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_number("capsules", self.capsules, 1)
        check_number("dims", self.dims, 1)
        check_number("routings", self.routings, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, u: Array) -> Array:
        """Returns `[batch, capsules, dims]`, float32, of lengths in [0, 1).

        Args:
            u: The capsules below, `[batch, capsules below, dims below]`.

        Raises:
            ValueError: if the input has another rank.
        """
        if u.ndim != 3:
            raise ValueError(
                "RoutedCapsules needs capsules of shape [batch, capsules, dims], got "
                f"shape {tuple(u.shape)}."
            )
        batch, below, depth = u.shape
        shape = (below * depth, self.capsules * self.dims)
        kernel = self.param("kernel", make_initializer(self.kernel_init), shape)
        u, kernel = nn.dtypes.promote_dtype(u, kernel, dtype=self.dtype)
        matrices = kernel.reshape(below, depth, self.capsules, self.dims)
        # The capsules below next to last: each sum over them is one matrix product.
        predictions = jnp.einsum(
            "bid,idje->bjie", u, matrices, preferred_element_type=jnp.float32
        )
        # All coefficients of the first iteration are 1 / J, so its sum needs no
        # predictions, which are large: one dense layer gives it.
        total = jnp.matmul(
            u.reshape(batch, -1), kernel, preferred_element_type=jnp.float32
        )
        v = squash(total.reshape(batch, self.capsules, self.dims) / self.capsules)
        return self._route(predictions, v)

    def _route(self, predictions: Array, v: Array) -> Array:
        """Returns the capsules after the iterations that follow the first."""
        logits = jnp.zeros(predictions.shape[:3], jnp.float32)
        for _ in range(1, self.routings):
            logits = logits + jnp.einsum("bjie,bje->bji", predictions, v)
            coupling = jax.nn.softmax(logits, axis=1)
            v = squash(jnp.einsum("bji,bjie->bje", coupling, predictions))
        return v
