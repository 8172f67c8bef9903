"""The learning-rate range test: a short run under an exponentially growing rate."""

import dataclasses
import json
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.experiment.build import Experiment, build
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.flags import parse_config
from jaxcnn.train.hooks.base import writes_files

#: The test ends where the smoothed loss exceeds the best so far by this factor.
_BLOW_UP = 4.0


@dataclasses.dataclass(frozen=True)
class RateRange:
    """What a range test saw.

    Attributes:
        rates: The learning rate of every step.
        losses: The training loss at each, before its update.
        smoothed: The losses averaged exponentially, without bias.
        steepest: The rate at which the smoothed loss fell fastest.
        min_tenth: A tenth of the rate at which it was lowest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    min_tenth: float


def find_learning_rate(
    config: ExperimentConfig,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.8,
) -> RateRange:
    r"""Returns the losses under rates that grow from step to step, and suggestions.

    Update :math:`k` of :math:`N` has the rate :math:`l (h/l)^{k/(N-1)}`; the
    configuration's own rate, schedule and warm-up are left out, all else is as in
    training. The test ends early where the loss blows up. Nothing is written.

    Args:
        config: What would be trained.
        low: The first rate, :math:`l`.
        high: The last rate, :math:`h`.
        steps: Number of updates, :math:`N`.
        smoothing: Decay of the average over the losses, in [0, 1).

    Raises:
        ValueError: for a bad configuration or option, or if the loss is not finite from
            the start.
        OSError: if the data are missing.

    References:
        Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
        section 3.3, https://arxiv.org/abs/1506.01186.
    """
    _check(low, high, steps, smoothing)
    growth = math.log(high / low) / (steps - 1)
    experiment = build(config, schedule=lambda step: low * jnp.exp(growth * step))
    losses = _losses(experiment, steps, smoothing)
    if len(losses) < 3:
        raise ValueError(
            f"The loss is not finite, or blows up, after {len(losses)} steps from the "
            f"rate {low:g}: nothing can be said. Lower --low."
        )
    rates = low * np.exp(growth * np.arange(len(losses)))
    smoothed = _smooth(losses, smoothing)
    slopes = np.gradient(smoothed, np.log(rates))
    return RateRange(
        rates=tuple(rates.tolist()),
        losses=tuple(losses),
        smoothed=tuple(smoothed.tolist()),
        steepest=float(rates[np.argmin(slopes)]),
        min_tenth=float(rates[np.argmin(smoothed)] / 10),
    )


def _check(low: float, high: float, steps: int, smoothing: float) -> None:
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"low and high must be finite with 0 < low < high, got {low} and {high}."
        )
    if steps < 10:
        raise ValueError(f"range_steps must be 10 or more, got {steps}.")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing}.")


def _losses(experiment: Experiment, steps: int, smoothing: float) -> list[float]:
    """Returns the losses of the steps, up to where they are not worth going on."""
    state, losses, best = experiment.init_state(), [], math.inf
    for k in range(steps):
        batch = experiment.step.place(experiment.train[k])
        state, metrics = experiment.step(state, batch)
        loss = float(metrics["loss"].compute())
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smoothed = _smooth(losses, smoothing)[-1]
        best = min(best, smoothed)
        # At first the average is of a few losses, and jumps.
        if k > steps // 10 and smoothed > _BLOW_UP * best:
            break
    return losses


def _smooth(losses: list[float], decay: float) -> np.ndarray:
    """Returns the exponential averages of the losses, corrected for their start."""
    average, averages = 0.0, []
    for k, loss in enumerate(losses, 1):
        average = decay * average + (1 - decay) * loss
        averages.append(average / (1 - decay**k))
    return np.array(averages)


@dataclasses.dataclass(frozen=True)
class _Flags(ExperimentConfig):
    """Finds a learning rate; FILE.py before the flags gives the defaults.

    All flags of `jaxcnn train` are taken; those of the length, the schedule, saving and
    the run folder do nothing here.
    """

    low: float = 1e-6
    """The first learning rate."""
    high: float = 10.0
    """The last learning rate."""
    range_steps: int = 100
    """Updates in all."""
    smoothing: float = 0.8
    """Decay of the average over the losses."""
    picture: str | None = None
    """Draw the curve into this file, such as lr_range.png."""
    json: bool = False
    """Print JSON: the suggestions and all points."""


def command(default: ExperimentConfig, args: list[str]) -> str:
    """Runs the test as flags describe and returns what is to be printed.

    Raises:
        ValueError: for a bad flag or configuration.
        OSError: if the data are missing or the picture cannot be written.
    """
    fields = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    flags = parse_config(_Flags(**fields), args, prog="jaxcnn lr-range")
    config = ExperimentConfig(**{name: getattr(flags, name) for name in fields})
    found = find_learning_rate(
        config,
        low=flags.low,
        high=flags.high,
        steps=flags.range_steps,
        smoothing=flags.smoothing,
    )
    if flags.picture and writes_files():
        _draw(flags.picture, found, config)
    if flags.json:
        return json.dumps(dataclasses.asdict(found))
    return (
        f"{config.optimizer.name}: the loss falls fastest at {found.steepest:.2g}; a "
        f"tenth of where it is lowest is {found.min_tenth:.2g} ({len(found.rates)} "
        f"steps from {found.rates[0]:.2g} to {found.rates[-1]:.2g})"
    )


def _draw(path: str, found: RateRange, config: ExperimentConfig) -> Any:
    from jaxcnn.plotting import learning_rate_range

    learning_rate_range(
        path,
        found.rates,
        found.losses,
        found.smoothed,
        marks={"steepest": found.steepest, "minimum / 10": found.min_tenth},
        title=f"{config.model.name} on {config.data.name}, {config.optimizer.name}",
    )
