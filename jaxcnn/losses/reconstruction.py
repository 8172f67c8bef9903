"""Losses of images, or other numbers, against those that they should equal.

They are averaged over the pixels of an image, not summed: the loss and the learning
rate that suits it do not change with the size. `half_squared_error` alone is a sum.
"""

import jax
import jax.numpy as jnp

from jaxcnn.ssim import ssim
from jaxcnn.typing import Array


def squared_error(outputs: Array, targets: Array) -> Array:
    """Mean squared difference over the pixels and channels of every image.

    Its range starts at 0 and has no upper bound.

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


def half_squared_error(outputs: Array, targets: Array) -> Array:
    r"""Half of the sum of squared differences: the textbook loss of one example.

    .. math:: E = \frac{1}{2} \sum_i (y_i - t_i)^2, \quad
        \partial E / \partial y_i = y_i - t_i.

    The half is there to cancel the 2 of the derivative. It is `squared_error` times
    half the number of values, so a learning rate for one does not suit the other. Its
    range starts at 0 and has no upper bound.

    Args:
        outputs: Values, `[batch]` or `[batch, ...]`.
        targets: What they should equal, of the same shape.

    Returns:
        The loss of every example, `[batch]`, float32.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> print(half_squared_error(jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 1.0]])))
        [2.5]

    References:
        Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.2, equation
        5.11, https://www.microsoft.com/en-us/research/people/cmbishop/prml-book/.
    """
    outputs, targets = _as_float32(outputs, targets)
    axes = tuple(range(1, outputs.ndim))
    return jnp.square(outputs - targets).sum(axis=axes) / 2


def absolute_error(outputs: Array, targets: Array) -> Array:
    """Mean absolute difference over the pixels and channels of every image.

    Its range starts at 0 and has no upper bound. The gradient is the difference's sign,
    0 where there is none.

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
    difference = outputs - targets
    # The slope of jnp.abs is 1 at 0: what is right already would be driven away.
    sign = jax.lax.stop_gradient(jnp.sign(difference))
    return _mean_per_image(difference * sign)


def huber(outputs: Array, targets: Array, *, delta: float = 1.0) -> Array:
    r"""Mean Huber loss: squares of small differences, absolute values of large ones.

    With a difference :math:`d` and :math:`\delta` = `delta`,

    .. math:: L = d^2 / 2 \text{ where } |d| \le \delta, \text{ else }
        \delta (|d| - \delta / 2).

    Value and slope are continuous, and no value's gradient exceeds :math:`\delta`, so
    outliers do not rule. The range starts at 0 and has no upper bound. PyTorch's
    `SmoothL1Loss(beta)` is this divided by :math:`\delta` = beta.

    Args:
        outputs: Images, `[batch, ...]`.
        targets: The images they should equal, of the same shape.
        delta: Difference at which the parabola goes over into a line, above 0.

    Returns:
        The loss of every image, `[batch]`, float32.

    Raises:
        ValueError: if the shapes differ or `delta` is not above 0.

    Example:
        >>> print(huber(jnp.array([[0.5, 3.0]]), jnp.zeros((1, 2))))  # (1/8 + 5/2) / 2
        [1.3125]

    References:
        Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical
        Statistics 35 (1), 1964, https://doi.org/10.1214/aoms/1177703732.
    """
    if not 0 < delta < float("inf"):
        raise ValueError(f"delta={delta} must be a finite number above 0.")
    outputs, targets = _as_float32(outputs, targets)
    size = jnp.abs(outputs - targets)
    # The product of what is below delta and what is beyond it: no square overflows.
    below = jnp.minimum(size, delta)
    return _mean_per_image(below * (size - below / 2))


def ssim_loss(outputs: Array, targets: Array, *, data_range: float = 1.0) -> Array:
    """One less the structural similarity of every image to its target.

    It sees structure where squared errors see pixels: of images with one squared error
    a shift in brightness costs little and a blur much. The formula, and what is left
    out at the borders, are those of `jaxcnn.metrics.ssim`.

    Args:
        outputs: Images, `[batch, height, width, channels]`, sides of 11 pixels or more.
        targets: The images they should equal, of the same shape.
        data_range: Largest minus smallest possible value: 1 for images in [0, 1].

    Returns:
        The loss of every image, `[batch]`, float32, in [0, 2]; 0 for equal images.

    Raises:
        ValueError: if the shapes differ or are not those of images of 11x11 or more, or
            `data_range` is not above 0.

    Example:
        >>> image = jnp.linspace(0, 1, 144).reshape(1, 12, 12, 1)
        >>> print(f"{ssim_loss(image, 1 - image)[0]:.2f}")
        1.93

    References:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural
        Similarity", IEEE Transactions on Image Processing 13 (4), 2004, section III,
        https://doi.org/10.1109/TIP.2003.819861.
        Zhao et al., "Loss Functions for Image Restoration with Neural Networks", 2017,
        section III.B (as a loss), https://arxiv.org/abs/1511.08861.
    """
    return 1 - ssim(outputs, targets, data_range=data_range)


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
