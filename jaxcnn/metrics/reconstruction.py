"""How far images are from their targets, for every image."""

import jax.numpy as jnp

from jaxcnn.typing import Array


def squared_error_per_image(outputs: Array, targets: Array) -> Array:
    """Returns the mean squared difference over the pixels and channels of an image.

    All images of a data set having one size, the mean over images is the mean over
    pixels (MSE).

    Args:
        outputs: Images, `[batch, ...]`.
        targets: The images they should equal, of the same shape.

    Returns:
        `[batch]`, float32.

    Raises:
        ValueError: if the shapes differ.
    """
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs {outputs.shape} and targets {targets.shape} differ in shape."
        )
    difference = outputs.astype(jnp.float32) - targets.astype(jnp.float32)
    return jnp.square(difference).mean(axis=tuple(range(1, outputs.ndim)))


def psnr(outputs: Array, targets: Array, *, data_range: float = 1.0) -> Array:
    r"""Returns the peak signal-to-noise ratio of every image, in decibels.

    .. math:: 10 \log_{10} (R^2 / \mathrm{MSE}), \quad R = `data_range`.

    Args:
        outputs: Images, `[batch, ...]`; they are not clipped to the range.
        targets: The images they should equal, of the same shape.
        data_range: Largest minus smallest possible value: 1 for images in [0, 1].

    Returns:
        `[batch]`, float32; `inf` where an image equals its target.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> clean = jnp.zeros((1, 8, 8, 1))
        >>> print(psnr(clean + 0.1, clean).round(2))
        [20.]
    """
    peak = jnp.float32(data_range**2)
    return 10 * jnp.log10(peak / squared_error_per_image(outputs, targets))
