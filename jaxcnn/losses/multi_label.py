"""Losses of questions with yes or no for an answer: one an example, or several."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.losses.weights import Weights
from jaxcnn.typing import Array


def sigmoid_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float = 0.0,
    positive_weight: float | Weights = 1.0,
) -> Array:
    r"""Binary cross entropy between labels and a sigmoid of the logits.

    With :math:`p` = sigmoid(logit), :math:`w` = `positive_weight` and
    :math:`\epsilon` = `label_smoothing`,

    .. math::

        L = -w q \log p - (1 - q) \log (1 - p), \quad
        q = (1 - \epsilon) t + \epsilon / 2,

    averaged over the questions of an example: one for binary classification, one a
    class where several classes may be there at once (multi-label). The loss is 0 at
    least (the targets' entropy where they are soft) and has no upper bound; log 2 is
    that of a guess.

    Args:
        logits: Unnormalised scores, `[batch]` or `[batch, ...]`, of any float type.
        labels: 1 or True for yes, 0 or False for no, or anything between, of the same
            shape.
        label_smoothing: Share of the target spread over both answers, in [0, 1).
        positive_weight: Weight of a yes, a number, or one for each position of the last
            axis: no's divided by yes's balances a rare yes.

    Returns:
        The loss of every example in nats a question, `[batch]`, float32. The caller
        masks and averages.

    Raises:
        ValueError: if the shapes do not fit, `label_smoothing` is outside `[0, 1)` or a
            weight is negative.

    Example:
        >>> loss = sigmoid_cross_entropy(jnp.zeros((1, 3)), jnp.array([[1, 0, 1]]))
        >>> print(f"{loss[0]:.4f}")  # log(2)
        0.6931

    References:
        Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.2, equation
        5.21, https://www.microsoft.com/en-us/research/people/cmbishop/prml-book/.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing} is not in [0, 1).")
    logits, labels = as_float32_pair(logits, labels)
    weight = _positive_weight(positive_weight, logits)
    labels = (1 - label_smoothing) * labels + label_smoothing / 2
    yes = weight * labels * jax.nn.log_sigmoid(logits)
    no = (1 - labels) * jax.nn.log_sigmoid(-logits)
    return mean_over_labels(-yes - no)


def as_float32_pair(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Returns both as float32.

    Raises:
        ValueError: if they differ in shape, which would broadcast silently.
    """
    if logits.ndim < 1 or logits.shape != labels.shape:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} differ in shape: yes or "
            "no is needed for each logit, [batch] or [batch, classes]."
        )
    return logits.astype(jnp.float32), labels.astype(jnp.float32)


def mean_over_labels(values: Array) -> Array:
    """Returns the mean over all axes but the first."""
    return values.mean(axis=tuple(range(1, values.ndim)))


def _positive_weight(weight: float | Weights, logits: Array) -> Array:
    shape = np.shape(weight)
    if shape not in ((), logits.shape[1:][-1:]):
        raise ValueError(
            f"positive_weight of shape {shape} does not fit logits {logits.shape}: a "
            "number, or one for each position of the last axis, is needed."
        )
    if not isinstance(weight, jax.Array) and not (np.asarray(weight) >= 0).all():
        raise ValueError(f"positive_weight={weight} must be 0 or more.")
    weight = jnp.asarray(weight, jnp.float32)
    return jnp.reshape(weight, (1,) * (logits.ndim - weight.ndim) + shape)
