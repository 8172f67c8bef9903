"""Losses of scores against classes."""

import jax
import jax.numpy as jnp

from jaxcnn.labels import are_classes, check_integers, check_labels
from jaxcnn.losses.weights import Weights, weights_of
from jaxcnn.typing import Array


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: Weights | None = None,
) -> Array:
    r"""Cross entropy between labels and a softmax over the logits.

    With :math:`\epsilon` = `label_smoothing`, :math:`w` = `class_weights` (1 without)
    and :math:`K` classes, of which :math:`t_k` is the target's share,

    .. math::

        L = -\sum_k w_k q_k \log p_k, \quad q_k = (1-\epsilon) t_k + \epsilon/K.

    An integer label y means :math:`t_k = [k=y]`, so that without smoothing an example's
    loss is :math:`-w_y \log p_y`. It is 0 at least (the targets' entropy where they are
    soft) and has no upper bound; :math:`\log K` is that of a guess.

    Args:
        logits: Unnormalised scores, `[batch, classes]`, of any float type.
        labels: Class indices in `[0, classes)`, `[batch]`, integers; or soft labels,
            the share of every class, `[batch, classes]`, floats (mixup, distillation).
        label_smoothing: Share of the target mass spread over all classes.
        class_weights: One weight a class, `[classes]`, see `balanced_weights`. The
            caller's mean divides by the number of examples, not by their weights' sum.

    Returns:
        The loss of every example in nats, `[batch]`, float32. The caller masks and
        averages. A label outside `[0, classes)` gives `nan`, so that a run stops on it
        instead of learning from it.

    Raises:
        ValueError: if `label_smoothing` is outside `[0, 1)`, the shapes do not fit, the
            labels are of another type, or `class_weights` are not one a class.

    Example:
        >>> loss = softmax_cross_entropy(jnp.zeros((1, 10)), jnp.array([3]))
        >>> print(f"{loss[0]:.4f}")  # log(10)
        2.3026

    References:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
        CVPR 2016, section 7, https://arxiv.org/abs/1512.00567.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing} is not in [0, 1).")
    soft = logits.ndim == 2 and labels.shape == logits.shape
    if soft:
        _check_soft(labels)
    else:
        check_labels(logits, labels)
    classes = logits.shape[1]
    weights = weights_of(class_weights, classes)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    if weights is not None:
        log_probs = _weighted(log_probs, weights[None, :])
    if soft:
        shares = labels.astype(jnp.float32)
        loss = -_weighted(log_probs, shares).sum(axis=1)
    else:
        is_label = jnp.arange(classes)[None, :] == labels[:, None]
        # Selected, not multiplied by a one-hot: 0 * inf would be nan.
        loss = -jnp.where(is_label, log_probs, 0.0).sum(axis=1)
    if label_smoothing:
        spread = -log_probs.mean(axis=1)
        loss = (1 - label_smoothing) * loss + label_smoothing * spread
    return loss if soft else jnp.where(are_classes(labels, classes), loss, jnp.nan)


def _check_soft(labels: Array) -> None:
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        raise ValueError(
            f"soft labels [batch, classes] must be floats, not {labels.dtype}; class "
            "indices are [batch]."
        )


def _weighted(log_probs: Array, weights: Array) -> Array:
    """Returns the products, 0 where the weight is: 0 * inf would be nan."""
    return jnp.where(weights == 0, 0.0, log_probs * weights)


def margin_loss(
    lengths: Array,
    labels: Array,
    *,
    upper: float = 0.9,
    lower: float = 0.1,
    absent_weight: float = 0.5,
) -> Array:
    r"""Margin loss of capsule lengths: long where the class is there, short elsewhere.

    With :math:`T_k = 1` where class k is there, else 0, :math:`m^+` = `upper`,
    :math:`m^-` = `lower` and :math:`\lambda` = `absent_weight`,

    .. math::

        L = \sum_k T_k \max(0, m^+ - |v_k|)^2
            + \lambda (1 - T_k) \max(0, |v_k| - m^-)^2.

    The classes do not compete: any number of them may be there at once.

    Args:
        lengths: Lengths of the class capsules, `[batch, classes]`, of any float type.
        labels: Class indices in `[0, classes)`, `[batch]`, integers; or which classes
            are there, 1 or True, and which are not, `[batch, classes]` (multi-hot).
        upper: Length from which on a class that is there costs nothing.
        lower: Length up to which a class that is not there costs nothing.
        absent_weight: Weight of the classes that are not there. Below 1 it keeps the
            many of them from shrinking all capsules at the start.

    Returns:
        The loss of every example, `[batch]`, float32. The caller masks and averages. An
        index outside `[0, classes)` gives `nan`, so that a run stops on it instead of
        learning from it.

    Raises:
        ValueError: if the shapes do not fit, labels `[batch]` are not integers, or not
            `0 <= lower <= upper` and `absent_weight >= 0`.

    Example:
        >>> lengths = jnp.array([[0.8, 0.3, 0.0]])
        >>> loss = margin_loss(lengths, jnp.array([0]))
        >>> print(f"{loss[0]:.3f}")  # 0.1 ** 2 + 0.5 * 0.2 ** 2
        0.030
        >>> loss = margin_loss(lengths, jnp.array([[1, 1, 0]]))
        >>> print(f"{loss[0]:.3f}")  # 0.1 ** 2 + 0.6 ** 2
        0.370

    References:
        Sabour et al., "Dynamic Routing Between Capsules", NeurIPS 2017, section 3,
        https://arxiv.org/abs/1710.09829.
    """
    if not 0 <= lower <= upper:
        raise ValueError(f"0 <= lower <= upper is needed, got {lower} and {upper}.")
    if not absent_weight >= 0:
        raise ValueError(f"absent_weight={absent_weight} must be 0 or more.")
    present, inside = _present(lengths, labels)
    lengths = lengths.astype(jnp.float32)
    missed = jnp.square(jnp.maximum(0.0, upper - lengths))
    found = jnp.square(jnp.maximum(0.0, lengths - lower))
    loss = (present * missed + absent_weight * (1 - present) * found).sum(axis=1)
    return jnp.where(inside, loss, jnp.nan)


def _present(scores: Array, labels: Array) -> tuple[Array, Array]:
    """Returns the labels as multi-hot float32, and which examples' are valid."""
    if scores.ndim == 2 and labels.shape == scores.shape:
        return labels.astype(jnp.float32), jnp.ones(len(labels), bool)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"lengths {scores.shape} and labels {labels.shape} do not fit: "
            "[batch, classes] and [batch] or [batch, classes] are needed."
        )
    check_integers(labels)
    inside = are_classes(labels, scores.shape[1])
    return jax.nn.one_hot(labels, scores.shape[1], dtype=jnp.float32), inside
