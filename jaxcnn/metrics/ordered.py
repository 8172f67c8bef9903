"""Quadratic kappa of ordered classes, from means that merge exactly over batches."""

from collections.abc import Mapping

import jax.numpy as jnp

from jaxcnn.labels import check_labels
from jaxcnn.metrics.mean import Mean
from jaxcnn.typing import Array

#: What the grades' moments are called, until `with_quadratic_kappa` takes them in.
MOMENTS = (
    "grade_difference_squared",
    "true_grade",
    "true_grade_squared",
    "called_grade",
    "called_grade_squared",
)


def grade_moments(
    logits: Array, labels: Array, mask: Array | None = None
) -> dict[str, Mean]:
    r"""Returns the five means of which `quadratic_kappa` is made.

    With the true grade t of an example and the grade p that it is called, those of
    :math:`(t - p)^2, t, t^2, p, p^2`. All are sums of whole numbers, exact in float32
    up to 2**24.

    Args:
        logits: Scores, `[batch, classes]`; the classes are grades in order.
        labels: True grades, `[batch]`, integers.
        mask: Weight of every example, `[batch]`, 0 on padding; None weighs all 1.

    Raises:
        ValueError: if the shapes do not fit, or labels are not integers.

    Example:
        >>> found = grade_moments(jnp.eye(3), jnp.array([0, 1, 1]))
        >>> print(found["grade_difference_squared"].total)
        1.0
    """
    check_labels(logits, labels)
    called, true = jnp.argmax(logits, axis=1), labels
    values = ((true - called) ** 2, true, true**2, called, called**2)
    return {
        name: Mean.of(value, mask) for name, value in zip(MOMENTS, values, strict=True)
    }


def quadratic_kappa(values: Mapping[str, float]) -> float:
    r"""Returns Cohen's kappa with quadratic weights from the means of `grade_moments`.

    The cost :math:`(i - j)^2` makes of the two sums of `cohen_kappa` second moments:

    .. math:: \kappa = 1 - \frac{E[(t - p)^2]}{E[t^2] + E[p^2] - 2 E[t] E[p]}.

    0, that of chance, where all examples are of one grade and called so.

    Args:
        values: The five means, by name.

    Example:
        >>> found = grade_moments(jnp.eye(3), jnp.array([0, 1, 1]))
        >>> means = {name: float(mean.compute()) for name, mean in found.items()}
        >>> print(f"{quadratic_kappa(means):.4f}")
        0.6667

    References:
        Cohen, "Weighted kappa", Psychological Bulletin 70 (4), 1968,
        https://doi.org/10.1037/h0026256.
    """
    error, true, true_squared, called, called_squared = (values[k] for k in MOMENTS)
    by_chance = true_squared + called_squared - 2 * true * called
    return 1 - error / by_chance if by_chance > 0 else 0.0


def with_quadratic_kappa(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics with `"quadratic_kappa"` in place of the five means."""
    others = {name: value for name, value in values.items() if name not in MOMENTS}
    return {**others, "quadratic_kappa": quadratic_kappa(values)}
