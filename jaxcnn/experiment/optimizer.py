"""From a configuration to the optimizer and its learning rates."""

from collections.abc import Callable, Sequence
from typing import Any

import optax

from jaxcnn.experiment.config import ExperimentConfig, OptimizerConfig
from jaxcnn.named import call_named
from jaxcnn.optim import (
    PlateauRule,
    make_optimizer,
    make_schedule,
    parse_duration,
)

#: The schedule that follows the validation metric, which no function of the step can.
PLATEAU = "plateau"


def total_steps(config: ExperimentConfig, per_epoch: int) -> int:
    """Returns the updates that a configuration asks for in all."""
    return config.steps or max(round(config.epochs * per_epoch), 1)


def peak_rate(config: ExperimentConfig, learning_rate: float | None = None) -> float:
    """Returns the peak of the schedule, scaled with the batch if the config says so.

    Args:
        config: Of the run.
        learning_rate: In place of the configuration's own.

    References:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.1,
        https://arxiv.org/abs/1706.02677.
    """
    rate = config.optimizer.learning_rate if learning_rate is None else learning_rate
    base = config.optimizer.base_batch_size
    return rate if base is None else rate * config.data.batch_size / base


def warmup_steps(config: ExperimentConfig, per_epoch: int) -> int:
    """Returns the updates in which the learning rate grows."""
    steps, optimizer = total_steps(config, per_epoch), config.optimizer
    wanted = round(optimizer.warmup_epochs * per_epoch)
    if optimizer.warmup is not None:
        wanted = parse_duration(
            optimizer.warmup,
            total_steps=steps,
            steps_per_epoch=per_epoch,
            argument="optimizer.warmup",
        )
    # So that a short try, `--steps 20`, of a long recipe works.
    return min(wanted, steps // 2)


def schedule_of(config: ExperimentConfig, per_epoch: int) -> Callable[[Any], Any]:
    """Returns the learning rate of every step; under `plateau` before any reduction.

    Raises:
        ValueError: if the schedule or an option is unknown, or a value out of range.
    """
    optimizer = config.optimizer
    if optimizer.schedule == PLATEAU:
        plateau_of(optimizer)
        return _schedule(config, per_epoch, "constant", peak_rate(config), {})
    return _schedule(
        config,
        per_epoch,
        optimizer.schedule,
        peak_rate(config),
        optimizer.schedule_options,
    )


def plateau_of(optimizer: OptimizerConfig) -> PlateauRule | None:
    """Returns when the rate is to be reduced, or None under any other schedule.

    Raises:
        ValueError: if an option is unknown, or a value is out of range.
    """
    if optimizer.schedule != PLATEAU:
        return None
    rules = {PLATEAU: PlateauRule}
    return call_named("schedule", rules, PLATEAU, **optimizer.schedule_options)


def make_tx(
    config: ExperimentConfig,
    schedule: Callable[[Any], Any],
    per_epoch: int,
    *,
    depth_rules: Sequence[Any] = (),
    freeze: str | None = None,
    wake: Sequence[Any] = (),
) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer that a configuration describes, at the rates of `schedule`.

    Args:
        config: What to do.
        schedule: The learning rate of every step.
        per_epoch: Steps of one pass over the data.
        depth_rules: Rules behind those of the configuration.
        freeze: As for `make_optimizer`.
        wake: As for `make_optimizer`.

    Raises:
        ValueError: if a name or an option is unknown, or a value is out of range.
    """
    optimizer = config.optimizer
    return make_optimizer(
        optimizer.name,
        schedule,
        weight_decay=optimizer.weight_decay,
        clip_norm=optimizer.clip_norm,
        clip_value=optimizer.clip_value,
        clip_adaptive=optimizer.clip_adaptive,
        centralize=optimizer.centralize,
        lookahead=optimizer.lookahead,
        lookahead_alpha=optimizer.lookahead_alpha,
        rules=[
            *(_rule(rule, config, per_epoch) for rule in optimizer.rules),
            *depth_rules,
        ],
        freeze=freeze,
        wake=wake,
        rate_factor=optimizer.schedule == PLATEAU,
        **optimizer.options,
    )


def depends_on_length(optimizer: OptimizerConfig) -> bool:
    """Returns whether another length of the run would change rates of its steps."""
    names = [optimizer.schedule]
    for rule in optimizer.rules:
        if isinstance(rule, list | tuple) and isinstance(rule[-1], dict):
            names.append(rule[-1].get("schedule"))
    return any(name not in ("constant", PLATEAU) for name in names)


def _rule(rule: Any, config: ExperimentConfig, per_epoch: int) -> Any:
    """Returns a rule of the configuration with its schedule, if any, as a function."""
    if not (isinstance(rule, list | tuple) and isinstance(rule[-1], dict)):
        return rule
    pattern, options = rule[0], dict(rule[-1])
    name = options.pop("schedule", "constant")
    rate = peak_rate(config, options.pop("learning_rate", None))
    return pattern, _schedule(config, per_epoch, name, rate, options)


def _schedule(
    config: ExperimentConfig,
    per_epoch: int,
    name: str,
    learning_rate: float,
    options: dict[str, Any],
) -> Callable[[Any], Any]:
    return make_schedule(
        name,
        learning_rate,
        total_steps(config, per_epoch),
        warmup_steps=warmup_steps(config, per_epoch),
        steps_per_epoch=per_epoch,
        **options,
    )
