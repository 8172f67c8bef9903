"""How far predicted and true classes agree beyond chance: Matthews, Cohen's kappa."""

from typing import Any

import numpy as np

from jaxcnn.metrics.checks import check_choice
from jaxcnn.metrics.confusion import checked_counts

WEIGHTS = (None, "linear", "quadratic")


def matthews_correlation(counts: Any) -> float:
    r"""Returns the correlation of predicted and true classes, in [-1, 1].

    With n examples, c of them right, and :math:`t_k, p_k` those that are of class k and
    that are called so,

    .. math::

        \frac{c n - \sum_k t_k p_k}
             {\sqrt{(n^2 - \sum_k p_k^2)(n^2 - \sum_k t_k^2)}}.

    0 where only one class occurs or only one is predicted, as in scikit-learn.

    Args:
        counts: A confusion matrix, `[classes, classes]`; rows are true classes.

    Raises:
        ValueError: if it is none.

    Example:
        >>> print(matthews_correlation([[90, 0], [10, 0]]))  # accuracy 0.9
        0.0

    References:
        Gorodkin, "Comparing two K-category assignments by a K-category correlation
        coefficient", Computational Biology and Chemistry 28, 2004, equation 8,
        https://doi.org/10.1016/j.compbiolchem.2004.09.006.
    """
    counts = checked_counts(counts)
    total, true, called = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    joint = np.trace(counts) * total - true @ called
    spread = (total**2 - called @ called) * (total**2 - true @ true)
    return float(joint / np.sqrt(spread)) if spread > 0 else 0.0


def cohen_kappa(counts: Any, weights: str | None = None) -> float:
    r"""Returns Cohen's kappa: 1 for full agreement, 0 for that of chance.

    With the shares :math:`o_{ij}` of the confusion matrix, those
    :math:`e_{ij} = t_i p_j` that chance would give, and the cost :math:`w_{ij}` of
    calling i j,

    .. math:: \kappa = 1 - \sum w_{ij} o_{ij} / \sum w_{ij} e_{ij}.

    `nan` where all examples are of one class and called so.

    Args:
        counts: A confusion matrix, `[classes, classes]`; rows are true classes.
        weights: None counts every mistake alike. For ordered classes, such as grades,
            `"linear"` counts |i - j| and `"quadratic"` (i - j)**2.

    Raises:
        ValueError: for other weights, or if `counts` is no confusion matrix.

    References:
        Cohen, "Weighted kappa", Psychological Bulletin 70 (4), 1968,
        https://doi.org/10.1037/h0026256.
    """
    check_choice("weights", weights, WEIGHTS)
    counts = checked_counts(counts)
    distance = np.abs(np.subtract.outer(np.arange(len(counts)), np.arange(len(counts))))
    cost = {None: distance > 0, "linear": distance, "quadratic": distance**2}[weights]
    total = counts.sum()
    expected = (cost * np.outer(counts.sum(axis=1), counts.sum(axis=0))).sum()
    if expected == 0:
        return float("nan")
    return float(1 - (cost * counts).sum() * total / expected)
