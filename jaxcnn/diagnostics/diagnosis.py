"""The verdict on a pair of learning curves: case, evidence, advice."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.diagnostics.advice import ADVICE, CASES, Advice
from jaxcnn.diagnostics.curves import Curve
from jaxcnn.diagnostics.evidence import Words
from jaxcnn.diagnostics.measures import Measures, measure
from jaxcnn.diagnostics.rules import Thresholds, case_of

#: What a picture points out: the lowest validation loss, or the levels at the end.
_MARKED = {
    "overfitting": "best",
    "good_fit": "best",
    "train_too_small": "ends",
    "validation_easier": "ends",
}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What a pair of learning curves says.

    Attributes:
        case: One of `CASES`.
        evidence: Sentences with the numbers that it was judged by.
        advice: What to do, the first first.
        begins: Where overfitting begins, in the unit of the curves; else None.
        measures: All numbers, free of units; None where there was too little for them.
        enough: Whether there were points enough to judge.
        axis: What `begins` counts.
    """

    case: str
    evidence: tuple[str, ...]
    advice: tuple[Advice, ...]
    begins: float | None = None
    measures: Measures | None = None
    enough: bool = True
    axis: str = "epoch"

    @property
    def verdict(self) -> str:
        """The case in words, with where it begins."""
        since = "" if self.begins is None else f", from {self.axis} {self.begins:g} on"
        return CASES[self.case] + since

    @property
    def line(self) -> str:
        """The verdict and the first of the evidence in one line."""
        return f"{self.verdict}. {self.evidence[0]}"

    def __str__(self) -> str:
        lines = [self.verdict[0].upper() + self.verdict[1:], ""]
        lines += [f"  {sentence}" for sentence in self.evidence]
        lines += ["", "What to do:"]
        lines += [f"  - {a.what}: {a.how}" for a in self.advice]
        return "\n".join(lines)

    def picture(self) -> dict[str, Any]:
        """Returns what `jaxcnn.plotting.diagnosed_curves` marks, by argument."""
        marks = {"verdict": self.verdict, "evidence": self.evidence}
        m = self.measures
        if m is None or self.case not in _MARKED:
            return marks
        if _MARKED[self.case] == "best":
            best = (m.best_at, m.value(m.best))
            return {**marks, "best": best, "begins": self.begins}
        return {**marks, "ends": (m.value(m.train), m.value(m.validation))}

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        measures = self.measures and dataclasses.asdict(self.measures)
        return {
            "case": self.case,
            "verdict": self.verdict,
            "begins": self.begins,
            "axis": self.axis,
            "evidence": list(self.evidence),
            "advice": [a._asdict() for a in self.advice],
            "measures": measures,
        }


def diagnose(
    train: Curve,
    validation: Curve | None = None,
    *,
    chance: float | None = None,
    floor: float = 0.0,
    raised: Sequence[str] = (),
    stopped: bool = False,
    left_out: int = 0,
    examples: int | None = None,
    axis: str = "epoch",
    name: str = "loss",
    thresholds: Thresholds | None = None,
) -> Diagnosis:
    """Returns what the learning curves of a run say, and what to do.

    The verdict does not depend on the unit of `at`, nor, with `chance` and `floor` in
    the same unit, on that of the values. How it is made: docs/diagnosing.md.

    Args:
        train: The training loss, or another measure of errors of which less is better.
        validation: The same of the validation part; None without one.
        chance: What a model that knows nothing gets, such as log(classes); by default
            the first value of the curves.
        floor: The least that there can be, such as the entropy of smoothed labels.
        raised: What makes the training loss higher than an evaluation of the training
            images would be: augmentation, dropout.
        stopped: Whether the run ended because its loss was not finite.
        left_out: Steps that were left out for that reason.
        examples: Those of the validation part: noise of many is not for their number,
            and of fewer than 30 only noise can be said.
        axis: What `at` counts, for the words.
        name: What the values are, for the words.
        thresholds: Other ones than those chosen on real runs.

    Raises:
        ValueError: if there is no training point, or `chance` is not above `floor`.

    Example:
        >>> at = np.arange(1, 21)
        >>> train = Curve(at, 2.3 * np.exp(-at / 3))
        >>> validation = Curve(at, 2.3 * np.exp(-at / 3) + 0.02 * at)
        >>> found = diagnose(train, validation, chance=2.3)
        >>> found.case, found.begins
        ('overfitting', 11.0)
    """
    thresholds = thresholds or Thresholds()
    validation = Curve([], []) if validation is None else validation
    if not len(train):
        raise ValueError("There is no training point to diagnose.")
    if chance is not None and not chance > floor:
        raise ValueError(f"chance must be above floor={floor}, got {chance}.")
    alone = not len(validation)
    start = np.concatenate([train.values[:1], validation.values[:1]]).max()
    scale = max((start if chance is None else chance) - floor, 1e-12)
    words = Words(
        axis, name, floor, scale, chance, tuple(raised), left_out, alone, examples
    )
    if broken := words.broken(train, validation, stopped):
        return Diagnosis("diverging", broken, ADVICE["diverging"], axis=axis)
    needed = (thresholds.train_points, 0 if alone else thresholds.points)
    if len(train) < needed[0] or len(validation) < needed[1]:
        few = words.few(train, validation, needed)
        return Diagnosis("not_clear", few, ADVICE["not_clear"], enough=False, axis=axis)
    found = measure(train, train if alone else validation, scale=scale, floor=floor)
    case = case_of(
        found,
        thresholds,
        raised=bool(raised),
        alone=alone,
        known=chance is not None,
        examples=examples,
    )
    return Diagnosis(
        case,
        words.evidence(case, found),
        ADVICE[case],
        begins=found.best_at if case == "overfitting" else None,
        measures=found,
        enough=not alone or case != "not_clear",
        axis=axis,
    )
