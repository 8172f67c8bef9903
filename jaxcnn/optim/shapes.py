"""The shapes of the schedules: the rate after the warm-up, from its peak."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn.optim.durations import parse_duration
from jaxcnn.optim.ranges import check_factor, check_range
from jaxcnn.typing import Array

Shape = Callable[[Any], Array]


@dataclasses.dataclass(frozen=True)
class Span:
    """What every shape is given.

    Attributes:
        peak: The highest rate.
        warmup: Steps of the run before the shape begins.
        total: Steps of the run.
        steps_per_epoch: For durations in epochs; None if unknown.
    """

    peak: float
    warmup: int
    total: int
    steps_per_epoch: int | None = None

    @property
    def steps(self) -> int:
        """Steps that the shape spans."""
        return self.total - self.warmup

    def duration(self, argument: str, value: int | str) -> int:
        """Returns a duration in steps, where per cent are of the whole run.

        Raises:
            ValueError: if it is none, or not of at least one step.
        """
        steps = parse_duration(
            value,
            total_steps=self.total,
            steps_per_epoch=self.steps_per_epoch,
            argument=argument,
        )
        if steps < 1:
            raise ValueError(f"{argument}={value!r} is shorter than one step.")
        return steps


def constant(span: Span) -> Shape:
    """Returns the peak for ever."""
    return optax.constant_schedule(span.peak)


def linear(span: Span, *, final_factor: float = 0.0) -> Shape:
    """Returns a line from the peak to `final_factor` times it."""
    check_factor("final_factor", final_factor)
    return optax.linear_schedule(span.peak, span.peak * final_factor, span.steps)


def polynomial(span: Span, *, power: float = 2.0, final_factor: float = 0.0) -> Shape:
    """Returns a fall by `(1 - t / T) ** power` to `final_factor` times the peak."""
    check_range("power", power, low=0, open_low=True)
    check_factor("final_factor", final_factor)
    return optax.polynomial_schedule(
        span.peak, span.peak * final_factor, power, span.steps
    )


def exponential(
    span: Span, *, factor: float, every: int | str = 1, staircase: bool = False
) -> Shape:
    """Returns `peak * factor ** (t / every)`, whole powers only with `staircase`."""
    check_factor("factor", factor)
    every = span.duration("every", every)

    def shape(t: Any) -> Array:
        power = t // every if staircase else t / every
        return span.peak * jnp.power(factor, jnp.asarray(power, jnp.float32))

    return shape


def step(
    span: Span,
    *,
    boundaries: Sequence[int | str] | None = None,
    every: int | str | None = None,
    factor: float = 0.1,
) -> Shape:
    """Returns a fall by `factor` at every boundary, or `every` so many steps."""
    check_factor("factor", factor)
    if (boundaries is None) == (every is None):
        given = "got both" if every is not None else "got none"
        raise ValueError(
            "The schedule 'step' needs the argument 'boundaries', or 'every' instead: "
            f"{given}."
        )
    if boundaries is not None:
        return multistep(span, boundaries=boundaries, factor=factor)
    every = span.duration("every", every)
    if every <= span.warmup:
        raise ValueError(f"every={every} must be more than warmup_steps={span.warmup}.")

    def shape(t: Any) -> Array:
        falls = (t + span.warmup) // every
        return span.peak * jnp.power(factor, jnp.asarray(falls, jnp.float32))

    return shape


def multistep(
    span: Span, *, boundaries: Sequence[int | str], factor: float = 0.1
) -> Shape:
    """Returns a fall by `factor` at every boundary, which are steps of the run."""
    check_factor("factor", factor)
    relative = dict.fromkeys(_relative(boundaries, span), factor)
    return optax.piecewise_constant_schedule(span.peak, relative)


def cosine(span: Span, *, final_factor: float = 0.0) -> Shape:
    """Returns half a cosine from the peak to `final_factor` times it."""
    check_factor("final_factor", final_factor)
    return optax.cosine_decay_schedule(span.peak, span.steps, alpha=final_factor)


def cosine_restarts(
    span: Span,
    *,
    period: int | str,
    multiplier: float = 1.0,
    peak_factor: float = 1.0,
    final_factor: float = 0.0,
) -> Shape:
    """Returns half cosines, each `multiplier` times as long as the one before.

    Each starts at `peak_factor` times the start of the one before, and all fall to
    `final_factor` times the peak.
    """
    check_range("multiplier", multiplier, low=1)
    check_factor("peak_factor", peak_factor)
    check_factor("final_factor", final_factor)
    starts, lengths = [0], [span.duration("period", period)]
    while starts[-1] + lengths[-1] < span.steps:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(round(lengths[0] * multiplier ** len(lengths)))
    tops = peak_factor ** np.arange(len(starts), dtype=np.float32)
    starts, lengths, tops = map(np.asarray, (starts, lengths, tops))

    def shape(t: Any) -> Array:
        k = jnp.searchsorted(starts, t, side="right") - 1
        share = jnp.minimum((t - jnp.take(starts, k)) / jnp.take(lengths, k), 1)
        height = jnp.maximum(jnp.take(tops, k) - final_factor, 0)
        return span.peak * (final_factor + height * (1 + jnp.cos(jnp.pi * share)) / 2)

    return shape


def one_cycle(
    span: Span,
    *,
    peak_at: float = 0.3,
    start_factor: float = 1 / 25,
    final_factor: float = 4e-6,
) -> Shape:
    """Returns a rise to the peak and a fall to almost nothing, along cosines."""
    check_factor("start_factor", start_factor)
    check_factor("final_factor", final_factor)
    steps, top = span.steps, round(peak_at * span.steps)
    if not 0 < top < steps:
        raise ValueError(
            f"peak_at={peak_at} of {steps} steps leaves no step to rise or to fall; "
            "it is a share of the steps, such as 0.3."
        )

    def shape(step: Any) -> Array:
        rising = step < top
        low = jnp.where(rising, start_factor, final_factor)
        away = jnp.where(rising, 1 - step / top, (step - top) / (steps - top))
        return span.peak * (low + (1 - low) * (1 + jnp.cos(jnp.pi * away)) / 2)

    return shape


def flat_cosine(
    span: Span, *, flat: int | str = "75%", final_factor: float = 0.0
) -> Shape:
    """Returns the peak until `flat` of the run, and half a cosine from there."""
    check_factor("final_factor", final_factor)
    start = span.duration("flat", flat) - span.warmup
    if not 0 <= start < span.steps:
        raise ValueError(
            f"flat={flat!r} must end after warmup_steps={span.warmup} and before "
            f"total_steps={span.total}."
        )
    fall = optax.cosine_decay_schedule(
        span.peak, span.steps - start, alpha=final_factor
    )
    return lambda t: fall(jnp.maximum(t - start, 0))


def explore_exploit(
    span: Span,
    *,
    warmup: int | str = "22%",
    warmdown: int | str = "28%",
    b2: float = 0.999,
) -> Shape:
    """Returns Ranger21's: a linear rise, the peak, and a linear fall to zero.

    The rise takes `warmup`, or `2 / (1 - b2)` steps if that is shorter.
    """
    if span.warmup:
        raise ValueError(
            "The schedule 'explore_exploit' has a warm-up of its own: leave "
            f"warmup_steps={span.warmup} out and set its option 'warmup'."
        )
    check_range("b2", b2, low=0, high=1)
    rise, fall = span.duration("warmup", warmup), span.duration("warmdown", warmdown)
    if rise + fall > span.total:
        raise ValueError(
            f"warmup={warmup!r} and warmdown={warmdown!r} are more than the run."
        )

    def shape(t: Any) -> Array:
        # The first step counts as 1 on the way up, the one after the last as 0 on the
        # way down, so that none of the run has a rate of zero.
        up = jnp.maximum((1 - b2) / 2 * (t + 1), (t + 1) / rise)
        return span.peak * jnp.minimum(jnp.minimum(up, (span.total - t) / fall), 1)

    return shape


#: The shapes by the name of their schedule.
SHAPES = MappingProxyType(
    {
        "constant": constant,
        "cosine": cosine,
        "cosine_restarts": cosine_restarts,
        "explore_exploit": explore_exploit,
        "exponential": exponential,
        "flat_cosine": flat_cosine,
        "linear": linear,
        "multistep": multistep,
        "one_cycle": one_cycle,
        "polynomial": polynomial,
        "step": step,
    }
)


def _relative(boundaries: Sequence[int | str], span: Span) -> tuple[int, ...]:
    """Returns the boundaries in steps, counted from the end of the warm-up."""
    if not isinstance(boundaries, Sequence) or isinstance(boundaries, str):
        raise ValueError(f"boundaries={boundaries!r} must be a list of steps.")
    given = [
        b if isinstance(b, int) else span.duration("boundaries", b) for b in boundaries
    ]
    ends = (span.warmup, *given, span.total)
    if not all(first < second for first, second in itertools.pairwise(ends)):
        raise ValueError(
            f"boundaries={tuple(boundaries)} must increase and lie after "
            f"warmup_steps={span.warmup} and before total_steps={span.total}."
        )
    return tuple(boundary - span.warmup for boundary in given)
