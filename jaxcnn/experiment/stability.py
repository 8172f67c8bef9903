"""From a configuration to averaged weights, and to steps that are not finite."""

from collections.abc import Callable
from typing import Any

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.train import TrainState, init_ema, of_average, skip_nonfinite, with_ema
from jaxcnn.train.ema import check_ema


def check_stability(config: ExperimentConfig) -> None:
    """Raises ValueError for an option that is out of range or of no use."""
    if config.nonfinite_limit < 1:
        raise ValueError(
            f"nonfinite_limit must be 1 or more, got {config.nonfinite_limit}."
        )
    if config.ema is not None:
        try:
            check_ema(config.ema, config.ema_every)
        except ValueError as error:
            raise ValueError(f"ema: {error}") from None
    elif (config.ema_every, config.ema_warmup) != (1, True):
        raise ValueError(
            "ema_every and ema_warmup need an average: set ema, such as 0.999."
        )


def guarded(step: Callable[..., Any], config: ExperimentConfig) -> Callable[..., Any]:
    """Returns the train step with averages, and what it does if it is not finite."""
    if config.ema is not None:
        step = with_ema(
            step, config.ema, warmup=config.ema_warmup, every=config.ema_every
        )
    if config.on_nonfinite == "skip":
        step = skip_nonfinite(step)
    if config.debug_nans:
        step.donates = False  # the state before a step is what is looked at
    return step


def measured(step: Callable[..., Any], config: ExperimentConfig) -> Callable[..., Any]:
    """Returns the evaluation step, of the averaged weights where there are any."""
    return step if config.ema is None else of_average(step)


def started(state: TrainState, config: ExperimentConfig) -> TrainState:
    """Returns the state before the first step, with averages where they are asked."""
    return state if config.ema is None else init_ema(state)


def limits(config: ExperimentConfig) -> dict[str, int]:
    """Returns what `fit` is told of steps that are not finite."""
    limit = config.nonfinite_limit
    return {
        "max_skips": limit,
        "rollbacks": limit if config.on_nonfinite == "rollback" else 0,
    }
