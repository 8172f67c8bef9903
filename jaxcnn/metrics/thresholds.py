"""From which probability on to call an example positive, chosen on validation."""

from typing import Any, NamedTuple

import numpy as np

from jaxcnn.metrics.checks import check_choice, check_share, checked_scores
from jaxcnn.metrics.ranking import steps_of

#: How a threshold is chosen; the last three take the value to be reached.
RULES = ("youden", "f1", "recall", "specificity", "precision")
WISHES = RULES[2:]


class Threshold(NamedTuple):
    """A threshold, and what it gave where it was chosen.

    Attributes:
        value: Scores of this or more are called positive.
        recall: Share of the positives found.
        specificity: Share of the negatives left alone.
        precision: Share of what is called positive that is; `nan` of nothing.
    """

    value: float
    recall: float
    specificity: float
    precision: float


def choose_threshold(
    scores: Any,
    labels: Any,
    mask: Any = None,
    *,
    rule: str = "youden",
    at_least: float | None = None,
) -> Threshold:
    """Returns the threshold that is best by a rule, one of the scores or infinity.

    To be chosen on validation examples: one chosen on the test part is too good there.

    Args:
        scores: Of the class 1, `[n]`.
        labels: 1 or 0, `[n]`.
        mask: 0 on examples to leave out, `[n]`.
        rule: `"youden"`, the largest recall + specificity - 1; `"f1"`, the largest F1;
            `"recall"`, of those that reach `at_least`, the highest, which has the
            largest specificity; `"specificity"` and `"precision"`, of those that reach
            it, the one of largest recall. Of equals always the highest.
        at_least: The wished recall, specificity or precision, in (0, 1].

    Raises:
        ValueError: if the arrays do not fit, only one class occurs, the rule is
            unknown, its wish is missing or superfluous, or no threshold fulfils it.

    Example:
        >>> print(choose_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))
        Threshold(value=0.8, recall=0.5, specificity=1.0, precision=1.0)

    References:
        Youden, "Index for rating diagnostic tests", Cancer 3 (1), 1950.
    """
    check_choice("rule", rule, RULES)
    if (rule in WISHES) != (at_least is not None):
        raise ValueError(
            f"at_least, the value to reach, is for the rules {', '.join(WISHES)}: got "
            f"rule={rule!r} and at_least={at_least!r}."
        )
    if at_least is not None and at_least != 1:
        check_share("at_least", at_least)
    scores, labels = checked_scores(scores, labels, mask)
    if scores.ndim != 1 or labels.min() == labels.max():
        raise ValueError(
            "A threshold is chosen on scores [n] of examples of both classes, got "
            f"shape {scores.shape} and the classes {np.unique(labels).tolist()}."
        )
    steps = steps_of(scores, labels == 1)
    recalls = steps.tp / steps.tp[-1]
    specificities = 1 - steps.fp / steps.fp[-1]
    called = steps.tp + steps.fp
    nothing = np.full(len(called), np.nan)
    precisions = np.divide(steps.tp, called, out=nothing, where=called > 0)
    best = _best(rule, at_least, recalls, specificities, precisions)
    return Threshold(
        float(steps.thresholds[best]),
        float(recalls[best]),
        float(specificities[best]),
        float(precisions[best]),
    )


def _best(
    rule: str,
    at_least: float | None,
    recalls: np.ndarray,
    specificities: np.ndarray,
    precisions: np.ndarray,
) -> int:
    """Returns the index of the best threshold, of equals the first, the highest."""
    if rule == "youden":
        # Rounded, so that equal sums of rounded shares are equal.
        return int(np.argmax(np.round(recalls + specificities, 12)))
    if rule == "f1":
        sums = np.nan_to_num(precisions) + recalls
        products = 2 * np.nan_to_num(precisions) * recalls
        scores = np.divide(products, sums, out=np.zeros_like(sums), where=sums > 0)
        return int(np.argmax(np.round(scores, 12)))
    if rule == "recall":
        return int(np.argmax(recalls >= at_least))
    reached = (specificities if rule == "specificity" else precisions) >= at_least
    if not reached.any():
        raise ValueError(
            f"No threshold has a precision of {at_least}; the best is "
            f"{np.nanmax(precisions):.4f}."
        )
    return int(np.argmax(np.where(reached, recalls, -1)))
