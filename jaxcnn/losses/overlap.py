"""Losses of overlap between predicted and true regions (segmentation), made soft."""

import jax
import jax.numpy as jnp

from jaxcnn.labels import are_classes, check_integers
from jaxcnn.typing import Array


def dice_loss(
    logits: Array, labels: Array, *, smooth: float = 1.0, squared: bool = False
) -> Array:
    r"""One less the soft Dice coefficient of every example, averaged over classes.

    With probabilities :math:`p` and targets :math:`t` of a class over the positions of
    an image, and :math:`s` = `smooth`,

    .. math:: L = 1 - \frac{2 \sum p t + s}{\sum p + \sum t + s}.

    The overlap of a region counts in proportion to the region's size, so rare classes
    weigh as much as common ones. A class that is neither there nor predicted costs 0.

    Args:
        logits: Unnormalised scores, `[batch, ..., classes]`, with at least one axis of
            positions, such as height and width.
        labels: Class indices, `[batch, ...]`, integers: a softmax decides between the
            classes. Or masks, 1 where a class is, `[batch, ..., classes]`: a sigmoid
            decides for each class by itself (one class: binary).
        smooth: Added to both sides of the quotient, above 0: no 0 / 0, and a gradient
            where nothing overlaps.
        squared: Whether the denominator sums squares, :math:`\sum p^2 + \sum t^2`, as
            in the paper.

    Returns:
        The loss of every example, `[batch]`, float32, in [0, 1]. An example with an
        index outside `[0, classes)` gives `nan`.

    Raises:
        ValueError: if the shapes or types do not fit or `smooth` is not above 0.

    Example:
        >>> logits = jnp.array([[[9.0, -9.0], [-9.0, 9.0]]])  # two positions
        >>> loss = dice_loss(logits, jnp.array([[0, 1]]))
        >>> print(f"{loss[0]:.3f}")
        0.000

    References:
        Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric
        Medical Image Segmentation", 3DV 2016, section 3,
        https://arxiv.org/abs/1606.04797.
    """
    both, total, inside = _sums(logits, labels, smooth, squared)
    quotient = (2 * both + smooth) / (total + smooth)
    return jnp.where(inside, (1 - quotient).mean(axis=1), jnp.nan)


def jaccard_loss(
    logits: Array, labels: Array, *, smooth: float = 1.0, squared: bool = False
) -> Array:
    r"""One less the soft Jaccard index (IoU) of every example, averaged over classes.

    With the notation of `dice_loss`,

    .. math:: L = 1 - \frac{\sum p t + s}{\sum p + \sum t - \sum p t + s}.

    Without :math:`s` it is :math:`2D / (1 + D)` of a Dice loss :math:`D`: the same
    order of predictions, with more weight on poor ones.

    Args:
        logits: As for `dice_loss`.
        labels: As for `dice_loss`.
        smooth: Added to both sides of the quotient, above 0.
        squared: Whether the denominator sums squares of :math:`p` and :math:`t`.

    Returns:
        The loss of every example, `[batch]`, float32, in [0, 1]. An example with an
        index outside `[0, classes)` gives `nan`.

    Raises:
        ValueError: if the shapes or types do not fit or `smooth` is not above 0.

    Example:
        >>> logits = jnp.array([[[9.0], [9.0], [-9.0], [-9.0]]])  # one class, 4 places
        >>> loss = jaccard_loss(logits, jnp.array([[[1], [0], [1], [0]]]))
        >>> print(f"{loss[0]:.3f}")  # 1 - (1 + 1) / (3 + 1)
        0.500

    References:
        Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for
        Image Segmentation", ISVC 2016, section 3,
        https://doi.org/10.1007/978-3-319-50835-1_22.
    """
    both, total, inside = _sums(logits, labels, smooth, squared)
    quotient = (both + smooth) / (total - both + smooth)
    return jnp.where(inside, (1 - quotient).mean(axis=1), jnp.nan)


def _sums(
    logits: Array, labels: Array, smooth: float, squared: bool
) -> tuple[Array, Array, Array]:
    """Returns overlaps and sums of both sizes, `[batch, classes]`, and validity."""
    if not 0 < smooth < float("inf"):
        raise ValueError(f"smooth={smooth} must be a finite number above 0.")
    shares, masks, inside = _regions(logits, labels)
    axes = tuple(range(1, logits.ndim - 1))
    both = (shares * masks).sum(axis=axes)
    power = 2 if squared else 1
    total = (shares**power).sum(axis=axes) + (masks**power).sum(axis=axes)
    return both, total, inside


def _regions(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Returns probabilities and masks, `[batch, ..., classes]`, and which are valid."""
    if logits.ndim < 3 or labels.shape not in (logits.shape, logits.shape[:-1]):
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} do not fit: "
            "[batch, ..., classes] with positions, and class indices [batch, ...] or "
            "masks [batch, ..., classes], are needed."
        )
    logits = logits.astype(jnp.float32)
    if labels.shape == logits.shape:
        valid = jnp.ones(len(logits), bool)
        return jax.nn.sigmoid(logits), labels.astype(jnp.float32), valid
    check_integers(labels)
    classes = logits.shape[-1]
    valid = are_classes(labels, classes).all(axis=tuple(range(1, labels.ndim)))
    masks = jax.nn.one_hot(labels, classes, dtype=jnp.float32)
    return jax.nn.softmax(logits), masks, valid
