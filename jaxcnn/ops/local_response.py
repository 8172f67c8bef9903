"""Local response normalisation: a channel divided by what its neighbours say."""

import functools
import operator

import jax.numpy as jnp

from jaxcnn.typing import Array


def local_response_norm(
    x: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    divide_by_size: bool = False,
) -> Array:
    r"""Returns each value divided by the squares of the channels around its own.

    With the sum over the `size` channels around channel :math:`i` that exist,

    .. math:: b_i = a_i / \Big(k + \alpha \sum_j a_j^2\Big)^\beta.

    The defaults are AlexNet's.

    Args:
        x: `[batch, *spatial, channels]`, of any number of axes.
        size: Channels in the sum, its own included; of an even number one more lies
            before than behind, as in PyTorch.
        alpha: Weight of the sum.
        beta: The exponent.
        k: What is added to the sum.
        divide_by_size: Whether the sum is a mean, `alpha / size` in place of `alpha`,
            as in PyTorch and Caffe: with AlexNet's numbers that makes five times less
            of it. The paper does not divide.

    Returns:
        An array of the shape that came.

    Raises:
        ValueError: if `size` is not a whole number of at least 1.

    Example:
        >>> x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
        >>> y = local_response_norm(x, 3, alpha=1.0, beta=1.0, k=0.0)
        >>> [f"{value:.4f}" for value in y.ravel()]  # 1/5, 2/14, 3/13
        ['0.2000', '0.1429', '0.2308']

    References:
        Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
        Convolutional Neural Networks", NeurIPS 2012, section 3.3,
        https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a whole number of at least 1, got {size!r}.")
    channels = x.shape[-1]
    around = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    squares = jnp.pad(x * x, around)
    # Shifted slices: a window over the last axis is slow on CPU.
    parts = [squares[..., shift : shift + channels] for shift in range(size)]
    total = functools.reduce(operator.add, parts)
    scale = alpha / size if divide_by_size else alpha
    return x / (k + scale * total) ** beta
