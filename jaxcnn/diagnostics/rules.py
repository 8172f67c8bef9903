"""Which case a pair of curves is: rules in order, and their thresholds."""

import dataclasses

from jaxcnn.diagnostics.measures import Measures


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where the rules part one case from another; see `Measures` for the units.

    Chosen on real runs, counted on others: experiments/diagnose_cases.py.

    Attributes:
        points: Validation points that a verdict needs.
        train_points: Training points that it needs.
        peak: A loss of so many times chance has blown up.
        lost: A training loss above this has then learned nothing.
        above: A training loss above this at the end is divergence by itself.
        climb: Rise of the training loss over its lowest level that is divergence.
        easier: By how much the validation loss of an easier set is below training's.
        easier_ratio: Its share of the training loss, at most.
        noise: Deviation of validation points that is noise,
        noisier: if it is so many times that of the training points.
        noise_share: The same as a share of the validation loss,
        noisier_share: if it is so many times that of the training points.
        few: Validation examples of which no verdict on them can be made.
        many: So many that noise is not for their number.
        loud: Noise over which a level cannot be read.
        rise: Share by which a validation loss rises again in overfitting.
        rise_sigmas: The same in deviations of its noise.
        gap: Difference of the losses that is a large gap.
        small_gap: One that is small.
        high: Training loss that is underfitting if it is flat.
        low: One that is a good fit.
        falling: Share that the losses fall by in the last third while they improve,
        gaining: or share of their whole fall that comes in it.
        improving: Training loss under which it is a good fit that improves.
    """

    points: int = 6
    train_points: int = 4
    peak: float = 1.5
    lost: float = 0.8
    above: float = 1.1
    climb: float = 0.2
    easier: float = 0.03
    easier_ratio: float = 0.8
    noise: float = 0.015
    noisier: float = 6.0
    noise_share: float = 0.25
    noisier_share: float = 2.0
    few: int = 30
    many: int = 100
    loud: float = 0.08
    rise: float = 0.05
    rise_sigmas: float = 1.5
    gap: float = 0.1
    small_gap: float = 0.08
    high: float = 0.33
    low: float = 0.25
    falling: float = 0.05
    gaining: float = 0.07
    improving: float = 0.235


def case_of(
    m: Measures,
    t: Thresholds,
    *,
    raised: bool = False,
    alone: bool = False,
    known: bool = True,
    examples: int | None = None,
) -> str:
    """Returns the case of a pair of curves, the first whose rule holds.

    Args:
        m: Their numbers.
        t: Where to part them.
        raised: Whether something makes the training loss higher than it would be in an
            evaluation: then a lower validation loss says nothing, and is taken as the
            bound of the training loss that it is.
        alone: Whether there is no validation curve.
        known: Whether the level of chance is known, else it is the start.
        examples: Those of the validation part, if that is known.
    """
    case = _case_of(m, t, raised, alone, known, examples)
    few = examples is not None and examples < t.few and not alone
    if few and case not in ("diverging", "underfitting_flat", "underfitting_improving"):
        return "validation_too_small"
    return case


def _case_of(
    m: Measures,
    t: Thresholds,
    raised: bool,
    alone: bool,
    known: bool,
    examples: int | None,
) -> str:
    """Returns the case as the curves show it."""
    level = min(m.train, m.validation) if raised else m.train
    improving = _improving(m, t)
    if _diverging(m, t):
        return "diverging"
    if alone:
        fit = _fit(level, improving, t, known)
        return "not_clear" if fit == "good_fit" else fit
    if not raised and _easier(m, t):
        return "validation_easier"
    if _noisy(m, t) and (examples is None or examples < t.many):
        return "validation_too_small"
    apart = m.gap > t.small_gap or raised
    if apart and m.rise > t.rise and m.rise_sigmas > t.rise_sigmas:
        return "overfitting"
    if m.noise > t.loud:
        return "not_clear"
    if m.gap > t.gap and (level < t.high or m.train_fall > t.falling):
        return "train_too_small"
    if m.gap > t.small_gap and level < t.high and not improving:
        return "not_clear"
    return _fit(level, improving, t, known)


def _fit(level: float, improving: bool, t: Thresholds, known: bool) -> str:
    """Returns the case of curves that lie close together and do not rise."""
    if improving and level > t.improving:
        return "underfitting_improving"
    if level > t.high:
        return "underfitting_flat" if known else "not_clear"
    return "good_fit" if level < t.low else "not_clear"


def _improving(m: Measures, t: Thresholds) -> bool:
    falls = m.train_fall > t.falling and m.validation_fall > t.falling
    steady = min(m.train_gain, m.validation_gain) > t.gaining
    seen = m.train_fall * m.train > m.train_noise
    return falls or (steady and seen)


def _diverging(m: Measures, t: Thresholds) -> bool:
    if m.train > t.above or m.train_rise > t.climb:
        return True
    return m.peak > t.peak and m.train > t.lost


def _easier(m: Measures, t: Thresholds) -> bool:
    lower = m.gap < -t.easier and m.ratio < t.easier_ratio
    return lower and m.below > 0.8  # nearly always, not by chance at the end


def _noisy(m: Measures, t: Thresholds) -> bool:
    if m.noise > t.noise and m.noise > t.noisier * m.train_noise:
        return True
    loud = m.noise > t.noise_share * m.validation
    return loud and m.noise > t.noisier_share * m.train_noise
