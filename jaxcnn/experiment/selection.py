"""By which metric of the validation part the best checkpoint is chosen."""

from collections.abc import Callable
from typing import Any

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.layers.checks import check_choice
from jaxcnn.metrics.ordered import grade_moments, with_quadratic_kappa
from jaxcnn.train import Task
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Batch

#: The metrics to choose by, and which value of each is best.
CHOICES = {"accuracy": "max", "loss": "min", "quadratic_kappa": "max"}


def best_metric(config: ExperimentConfig) -> str:
    """Returns the metric that chooses: the configuration's, or the task's own.

    Raises:
        ValueError: if it is unknown, or needs classes and the task has none.
    """
    classifies = config.task != "reconstruction"
    if config.best_metric is None:
        return "accuracy" if classifies else "loss"
    check_choice("best_metric", config.best_metric, tuple(CHOICES))
    if config.best_metric == "quadratic_kappa" and config.task != "classification":
        raise ValueError(
            "best_metric 'quadratic_kappa' is for the task 'classification', got "
            f"{config.task!r}."
        )
    if config.best_metric == "accuracy" and not classifies:
        raise ValueError(
            "best_metric 'accuracy' needs classes, which the task 'reconstruction' "
            "has not: 'loss' is allowed."
        )
    return config.best_metric


def best_mode(config: ExperimentConfig) -> str:
    """Returns `"max"` or `"min"`: which value of the metric is best."""
    return CHOICES[best_metric(config)]


def evaluation_task(task: Task, config: ExperimentConfig) -> Task:
    """Returns the task as evaluations measure it: with what the metric is made of."""
    if config.best_metric != "quadratic_kappa":
        return task

    def metrics(outputs: Any, batch: Batch) -> Metrics:
        grades = grade_moments(outputs, batch["label"], batch["mask"])
        return {**task.metrics(outputs, batch), **grades}

    return task._replace(metrics=metrics)


def derived_metrics(
    config: ExperimentConfig,
) -> Callable[[dict[str, float]], dict[str, float]] | None:
    """Returns what makes the metric from an evaluation's means; None if it is one."""
    return with_quadratic_kappa if config.best_metric == "quadratic_kappa" else None
