"""Which case a pair of curves is: rules in order, and their thresholds."""

import dataclasses

from jaxcnn.diagnostics.measures import Measures


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where the rules part one case from another; see `Measures` for the units.

    Chosen on runs on the digits and on MNIST: experiments/diagnose_cases.py.

    Attributes:
        points: Training and validation points that a verdict needs.
        jump: A loss so many times the one at the start, or chance, has blown up.
        lost: A training loss above this share of chance has learned nothing.
        climb: Rise of the training loss over its lowest level that is divergence.
        rise: Share by which a validation loss rises again in overfitting.
        rise_sigmas: The same in deviations of its noise.
        easier: Share of chance by which an easier validation set's loss is lower.
        noise: Deviation of validation points, as a share of chance, that is noise.
        noise_share: The same as a share of the validation loss itself.
        noisier: The same over the deviation of the training points.
        gap: Share of chance between the losses that is a large gap.
        small_gap: One that is small.
        high: Training loss, as a share of chance, that is underfitting if it is flat.
        low: One that is a good fit.
        falling: Share that the losses fall by in the last third while they improve.
        improving: Training loss under which more epochs are no question of fit.
    """

    points: int = 6
    jump: float = 1.5
    lost: float = 0.9
    climb: float = 0.2
    rise: float = 0.1
    rise_sigmas: float = 3.0
    easier: float = 0.1
    noise: float = 0.02
    noise_share: float = 0.1
    noisier: float = 2.0
    gap: float = 0.1
    small_gap: float = 0.06
    high: float = 0.4
    low: float = 0.3
    falling: float = 0.1
    improving: float = 0.2


def case_of(
    m: Measures, t: Thresholds, *, raised: bool, alone: bool, known: bool
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
    """
    level = min(m.train, m.validation) if raised else m.train
    improving = m.train_fall > t.falling and m.validation_fall > t.falling
    if _diverging(m, t):
        return "diverging"
    if alone:
        return _fit(level, improving, t, known) if level > t.improving else "not_clear"
    if m.gap < -t.easier and m.below > 0.8 and not raised:
        return "validation_easier"
    if _noisy(m, t):
        return "validation_too_small"
    if (m.gap > 0 or raised) and m.rise > t.rise and m.rise_sigmas > t.rise_sigmas:
        return "overfitting"
    if m.gap > t.gap and level < t.high:
        return "train_too_small"
    if m.gap > t.small_gap and not improving:
        return "not_clear"
    return _fit(level, improving, t, known)


def _fit(level: float, improving: bool, t: Thresholds, known: bool) -> str:
    """Returns the case of curves that lie close together and do not rise."""
    if improving and level > t.improving:
        return "underfitting_improving"
    if level > t.high:
        return "underfitting_flat" if known else "not_clear"
    return "good_fit" if level < t.low else "not_clear"


def _diverging(m: Measures, t: Thresholds) -> bool:
    if m.train > 1.1 or m.train_rise > t.climb:
        return True
    return m.jump > t.jump and m.train > t.lost


def _noisy(m: Measures, t: Thresholds) -> bool:
    loud = m.noise > t.noise and m.noise > t.noise_share * m.validation
    return loud and m.noise > t.noisier * m.train_noise
