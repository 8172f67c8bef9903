"""Focal losses: cross entropies in which what is easy counts less."""

import jax
import jax.numpy as jnp

from jaxcnn.labels import are_classes, check_labels
from jaxcnn.losses.multi_label import as_float32_pair, mean_over_labels
from jaxcnn.losses.weights import Weights, weights_of
from jaxcnn.typing import Array


def focal_loss(
    logits: Array,
    labels: Array,
    *,
    gamma: float = 2.0,
    class_weights: Weights | None = None,
) -> Array:
    r"""Focal loss of one class out of several, by a softmax over the logits.

    With the probability :math:`p_y` of the label's class and :math:`w` =
    `class_weights` (1 without),

    .. math:: L = -w_y (1 - p_y)^\gamma \log p_y.

    An example that is right with :math:`p_y = 0.9` costs a hundredth of its cross
    entropy for :math:`\gamma = 2`; :math:`\gamma = 0` is the cross entropy. The loss is
    0 at least and has no upper bound.

    Args:
        logits: Unnormalised scores, `[batch, classes]`, two classes or more.
        labels: Class indices in `[0, classes)`, `[batch]`, integers.
        gamma: How fast the weight falls with the probability, 0 or more.
        class_weights: One weight a class, `[classes]`: the paper's :math:`\alpha`.

    Returns:
        The loss of every example in nats, `[batch]`, float32. A label outside
        `[0, classes)` gives `nan`.

    Raises:
        ValueError: if the shapes or types do not fit, there is one class only, `gamma`
            is negative, or `class_weights` are not one a class.

    Example:
        >>> loss = focal_loss(jnp.zeros((1, 2)), jnp.array([0]), gamma=1)
        >>> print(f"{loss[0]:.4f}")  # log(2) / 2
        0.3466

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3,
        https://arxiv.org/abs/1708.02002.
    """
    _check_gamma(gamma)
    check_labels(logits, labels)
    classes = logits.shape[1]
    if classes < 2:
        raise ValueError(
            "focal_loss needs two classes or more: see sigmoid_focal_loss."
        )
    weights = weights_of(class_weights, classes)
    logits = logits.astype(jnp.float32)
    is_label = jnp.arange(classes)[None, :] == labels[:, None]
    log_probs = jax.nn.log_softmax(logits)
    log_p = jnp.where(is_label, log_probs, 0.0).sum(axis=1)
    # The others' share: 1 - p would be 0, and its power without a gradient, too early.
    others = jnp.where(is_label, -jnp.inf, log_probs)
    loss = -_power(jax.nn.logsumexp(others, axis=1), gamma) * log_p
    if weights is not None:
        loss *= jnp.where(is_label, weights[None, :], 0.0).sum(axis=1)
    return jnp.where(are_classes(labels, classes), loss, jnp.nan)


def sigmoid_focal_loss(
    logits: Array, labels: Array, *, gamma: float = 2.0, alpha: float | None = 0.25
) -> Array:
    r"""Focal loss of questions with yes or no for an answer, each by a sigmoid.

    With the probability :math:`p_t` of the right answer, and :math:`\alpha_t` =
    `alpha` for a yes and 1 - `alpha` for a no (1 for both if it is None),

    .. math:: L = -\alpha_t (1 - p_t)^\gamma \log p_t,

    averaged over the questions of an example. It is 0 at least and has no upper bound.

    Args:
        logits: Unnormalised scores, `[batch]` for one question, `[batch, ...]` for
            several (multi-label).
        labels: 1 or True for yes, 0 or False for no, of the same shape.
        gamma: How fast the weight falls with the probability, 0 or more.
        alpha: Weight of a yes, in [0, 1]; the paper's 0.25 for RetinaNet.

    Returns:
        The loss of every example in nats a question, `[batch]`, float32. RetinaNet sums
        instead and divides by the objects of an image.

    Raises:
        ValueError: if the shapes differ, `gamma` is negative or `alpha` not in [0, 1].

    Example:
        >>> loss = sigmoid_focal_loss(jnp.zeros(1), jnp.ones(1), gamma=1, alpha=None)
        >>> print(f"{loss[0]:.4f}")  # log(2) / 2
        0.3466

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3,
        https://arxiv.org/abs/1708.02002.
    """
    _check_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} is not in [0, 1].")
    logits, labels = as_float32_pair(logits, labels)

    def cost(logits: Array) -> Array:
        """Returns the loss of a yes."""
        scale = _power(jax.nn.log_sigmoid(-logits), gamma)
        return -scale * jax.nn.log_sigmoid(logits)

    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    loss = yes * labels * cost(logits) + no * (1 - labels) * cost(-logits)
    return mean_over_labels(loss)


def _power(log_value: Array, exponent: float) -> Array:
    """Returns `exp(log_value) ** exponent`, also for 0 ** 0, with finite gradients."""
    return jnp.exp(exponent * log_value) if exponent else jnp.ones_like(log_value)


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma < float("inf"):
        raise ValueError(f"gamma={gamma} must be a finite number of 0 or more.")
