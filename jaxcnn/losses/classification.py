"""Losses of scores against classes."""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array


def softmax_cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0
) -> Array:
    r"""Cross entropy between integer labels and a softmax over the logits.

    With :math:`\epsilon` = `label_smoothing` and :math:`K` classes,

    .. math:: L = -\sum_k q_k \log p_k, \quad q_k = (1-\epsilon)[k=y] + \epsilon/K.

    Args:
        logits: Unnormalised scores, `[batch, classes]`, of any float type.
        labels: Class indices in `[0, classes)`, `[batch]`, integers.
        label_smoothing: Share of the target mass spread over all classes.

    Returns:
        The loss of every example in nats, `[batch]`, float32. The caller masks and
        averages. A label outside `[0, classes)` gives `nan`, so that a run stops on it
        instead of learning from it.

    Raises:
        ValueError: if `label_smoothing` is outside `[0, 1)`, the shapes do not fit, or
            the labels are not integers.

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
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} do not fit: "
            "[batch, classes] and [batch] are needed."
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be integer class indices, not {labels.dtype}.")
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    classes = logits.shape[1]
    is_label = jnp.arange(classes)[None, :] == labels[:, None]
    # Selected, not multiplied by a one-hot: 0 * inf would be nan.
    loss = -jnp.where(is_label, log_probs, 0.0).sum(axis=1)
    if label_smoothing:
        spread = -log_probs.mean(axis=1)
        loss = (1 - label_smoothing) * loss + label_smoothing * spread
    return jnp.where((labels >= 0) & (labels < classes), loss, jnp.nan)
