"""The numbers behind a verdict, as sentences that a person can check."""

import dataclasses

import numpy as np

from jaxcnn.diagnostics.curves import Curve
from jaxcnn.diagnostics.measures import Measures


@dataclasses.dataclass(frozen=True)
class Words:
    """What the curves are, for the sentences on them.

    Attributes:
        axis: What the curves are over.
        name: What their values are.
        floor: The least value there can be.
        scale: What `Measures` count in.
        chance: What a model that knows nothing gets, if that is known.
        raised: What makes the training loss higher than in an evaluation.
        left_out: Steps that were left out, not finite.
        alone: Whether there is no validation curve.
        examples: Those of the validation part, if that is known.
    """

    axis: str
    name: str
    floor: float
    scale: float
    chance: float | None
    raised: tuple[str, ...]
    left_out: int
    alone: bool
    examples: int | None

    def evidence(self, case: str, m: Measures) -> tuple[str, ...]:
        """Returns the sentences of a case: what decided comes first."""
        if self.alone:
            none = "There is no validation part (--data.validation 0.1): whether the "
            none += "model overfits cannot be seen."
            first = [self._levels(m), none] if case != "not_clear" else [none]
            return (*first, *self._remarks())
        decisive = {
            "underfitting_flat": [self._levels(m), self._falls(m)],
            "underfitting_improving": [self._falls(m), self._levels(m)],
            "overfitting": [self._rise(m), self._levels(m)],
            "good_fit": [self._levels(m), self._falls(m)],
            "train_too_small": [self._gap(m), self._falls(m)],
            "validation_too_small": [*self._number(), self._noise(m), self._levels(m)],
            "validation_easier": [self._below(m), self._levels(m)],
            "diverging": [self._climb(m), self._levels(m)],
            "not_clear": [
                self._levels(m),
                self._falls(m),
                self._gap(m),
                self._rise(m),
                self._noise(m),
            ],
        }[case]
        return (*decisive, *self._remarks())

    def few(
        self, train: Curve, validation: Curve, needed: tuple[int, int]
    ) -> tuple[str, ...]:
        """Returns what is said of curves of too few points."""
        few = f"There are {len(train)} training points"
        if self.alone:
            few += f"; a verdict needs {needed[0]} (--log-every)."
        else:
            few += f" and {len(validation)} of validation; a verdict needs {needed[0]} "
            few += f"and {needed[1]} (--log-every, --eval-every)."
        return (few, *self._remarks())

    def broken(self, train: Curve, validation: Curve, stopped: bool) -> tuple[str, ...]:
        """Returns what is said of curves that are not finite, or () if they are."""
        for split, curve in {"training": train, "validation": validation}.items():
            wrong = np.flatnonzero(~np.isfinite(curve.values))
            if wrong.size:
                at, value = curve.at[wrong[0]], curve.values[wrong[0]]
                where = f"The {split} {self.name} is {value:g} at {self.axis} {at:.3g}."
                return (where, *self._remarks())
        if stopped:
            return (
                f"The run was ended by a step whose {self.name} or state was not "
                "finite.",
                *self._remarks(),
            )
        return ()

    def _value(self, level: float) -> str:
        return f"{self.floor + self.scale * level:.3g}"

    def _levels(self, m: Measures) -> str:
        levels = f"At the end the training {self.name} is {self._value(m.train)}"
        if not self.alone:
            levels += f", the validation {self.name} {self._value(m.validation)}"
        if self.chance is None:
            return f"{levels}: {m.train:.0%} of the training {self.name}'s start."
        of = f"{m.train:.0%}"
        if not self.alone:
            of += f" and {m.validation:.0%}"
        return f"{levels}: {of} of what guessing gets ({self.chance:.3g})."

    def _falls(self, m: Measures) -> str:
        def went(share: float, gain: float) -> str:
            if share < 0:
                return f"rose by {-share:.0%}"
            return f"fell by {share:.0%} ({max(gain, 0):.0%} of its whole fall)"

        return (
            f"In the last third of the run the training {self.name} "
            f"{went(m.train_fall, m.train_gain)}, the validation {self.name} "
            f"{went(m.validation_fall, m.validation_gain)}."
        )

    def _rise(self, m: Measures) -> str:
        return (
            f"The validation {self.name} was lowest at {self.axis} {m.best_at:g} "
            f"({self._value(m.best)}) and is {self._value(m.validation)} at the end: "
            f"{m.rise:+.0%}, or {m.rise_sigmas:.0f} deviations of its noise."
        )

    def _gap(self, m: Measures) -> str:
        return (
            f"The validation {self.name} ends at {self._value(m.validation)}, the "
            f"training {self.name} at {self._value(m.train)}: a gap of {m.gap:.0%} of "
            f"{self._whole()}."
        )

    def _whole(self) -> str:
        start = f"the {self.name} at the start"
        return start if self.chance is None else "what guessing gets"

    def _noise(self, m: Measures) -> str:
        raw = self.scale * m.noise
        share = m.noise / max(m.validation, 1e-6)
        return (
            f"Single validation points lie {raw:.2g} from their neighbours, which is "
            f"{share:.0%} of the validation {self.name} and "
            f"{m.noise / max(m.train_noise, 1e-6):.1f} times as far as training points."
        )

    def _number(self) -> list[str]:
        if self.examples is None:
            return []
        return [
            f"The validation part has {self.examples} examples: one is "
            f"{1 / self.examples:.1%} of the accuracy."
        ]

    def _below(self, m: Measures) -> str:
        return (
            f"The validation {self.name} ends at {self._value(m.validation)}, below "
            f"the training {self.name} of {self._value(m.train)}, and lay below it at "
            f"{m.below:.0%} of the validations of the second half."
        )

    def _climb(self, m: Measures) -> str:
        rise = f"{self.scale * m.train_rise:.2g}"
        return (
            f"The {self.name} reached {self._value(m.peak)}, which is {m.peak:.3g} "
            f"times {self._whole()}, and in training ends {rise} above its lowest "
            "level."
        )

    def _remarks(self) -> list[str]:
        """Returns what the reader should know beside the numbers."""
        remarks = []
        if self.raised:
            remarks.append(
                f"The training {self.name} is raised by {', '.join(self.raised)}: the "
                "true gap is larger than the one seen."
            )
        if self.left_out:
            remarks.append(f"{self.left_out} steps were not finite, and left out.")
        return remarks
