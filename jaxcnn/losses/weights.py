"""Weights of classes: checked, and balanced by how often each class occurs."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxcnn.typing import Array

#: One weight a class.
Weights = Sequence[float] | Array


def balanced_weights(labels: Array, classes: int) -> tuple[float, ...]:
    r"""Returns weights under which every class has the same share of the loss.

    With :math:`n_k` of :math:`N` examples in class k and K classes that occur,

    .. math:: w_k = N / (K n_k).

    Their mean over the examples is 1, so the loss and the learning rate that suits it
    keep their size. A class that does not occur weighs 1.

    Args:
        labels: Class indices of the whole training part, `[N]`, integers.
        classes: How many classes there are.

    Raises:
        ValueError: if there are no labels, or one is outside `[0, classes)`.

    Example:
        >>> balanced_weights(np.array([0, 0, 0, 1]), 2)
        (0.6666666666666666, 2.0)

    References:
        King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9
        (2), 2001, https://doi.org/10.1093/oxfordjournals.pan.a004868; the "balanced"
        of scikit-learn.
    """
    labels = np.asarray(labels)
    if labels.size == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be one or more, all in [0, {classes}).")
    counts = np.bincount(labels, minlength=classes)
    occur = counts > 0
    weights = np.ones(classes)
    weights[occur] = labels.size / (occur.sum() * counts[occur])
    return tuple(weights.tolist())


def weights_of(class_weights: Weights | None, classes: int) -> Array | None:
    """Returns the weights as float32 `[classes]`, None for none.

    Raises:
        ValueError: if there is not one for each class, or one is negative.
    """
    if class_weights is None:
        return None
    if np.shape(class_weights) != (classes,):
        raise ValueError(
            f"class_weights of shape {np.shape(class_weights)} do not fit {classes} "
            f"classes: ({classes},) is needed."
        )
    if isinstance(class_weights, list | tuple | np.ndarray):
        values = np.asarray(class_weights, np.float64)
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(
                f"class_weights must be finite numbers of 0 or more, got {values}."
            )
    return jnp.asarray(class_weights, jnp.float32)
