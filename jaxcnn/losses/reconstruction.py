"""Losses of images against target images, averaged over the pixels of an image.

The mean over pixels, not the sum: the loss and the learning rate that suits it do not
change with the size of the image.
"""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def squared_error(outputs: Array, targets: Array) -> Array:
    """Mean squared difference over the pixels and channels of every image.

    Args:
        outputs: Images, `[batch, ...]`.
        targets: The images they should equal, of the same shape.

    Returns:
        The loss of every image, `[batch]`, float32. No factor 1/2.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> print(squared_error(jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 1.0]])))
        [2.5]
    """
    outputs, targets = _as_float32(outputs, targets)
    return _mean_per_image(jnp.square(outputs - targets))


def absolute_error(outputs: Array, targets: Array) -> Array:
    """Mean absolute difference over the pixels and channels of every image.

    Args:
        outputs: Images, `[batch, ...]`.
        targets: The images they should equal, of the same shape.

    Returns:
        The loss of every image, `[batch]`, float32.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> print(absolute_error(jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 1.0]])))
        [1.5]
    """
    outputs, targets = _as_float32(outputs, targets)
    return _mean_per_image(jnp.abs(outputs - targets))


def binary_cross_entropy(
    outputs: Array, targets: Array, *, from_logits: bool = False
) -> Array:
    r"""Mean binary cross entropy over the pixels and channels of every image.

    Every pixel is read as a probability :math:`p` of being lit,

    .. math:: L = -t \log p - (1 - t) \log (1 - p).

    For targets between 0 and 1 the lowest value is the targets' entropy, not zero.

    Args:
        outputs: Images in [0, 1], `[batch, ...]`, such as those of an autoencoder that
            ends in a sigmoid; or their logits, see `from_logits`.
        targets: The images they should equal, in [0, 1], of the same shape.
        from_logits: Whether `outputs` are logits of any size, to which the sigmoid is
            still to be applied: more precise where pixels saturate. Otherwise
            probabilities are kept 1e-7 away from 0 and 1.

    Returns:
        The loss of every image in nats a pixel, `[batch]`, float32.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> half = jnp.full((1, 2), 0.5)
        >>> loss = binary_cross_entropy(half, jnp.array([[0.0, 1.0]]))
        >>> print(f"{loss[0]:.4f}")  # log(2)
        0.6931
    """
    outputs, targets = _as_float32(outputs, targets)
    if from_logits:
        log_p, log_not_p = jax.nn.log_sigmoid(outputs), jax.nn.log_sigmoid(-outputs)
    else:
        probabilities = jnp.clip(outputs, 1e-7, 1 - 1e-7)
        log_p, log_not_p = jnp.log(probabilities), jnp.log1p(-probabilities)
    return _mean_per_image(-targets * log_p - (1 - targets) * log_not_p)


def _as_float32(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Returns both as float32; refuses shapes that would broadcast silently."""
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs {outputs.shape} and targets {targets.shape} differ in shape."
        )
    return outputs.astype(jnp.float32), targets.astype(jnp.float32)


def _mean_per_image(values: Array) -> Array:
    return values.mean(axis=tuple(range(1, values.ndim)))
