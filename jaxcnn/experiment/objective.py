"""From a configuration to what is made small: the task's loss, and the penalty."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxcnn.data import Source
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.losses import balanced_weights, make_penalty
from jaxcnn.train import Task, capsules, classification, reconstruction
from jaxcnn.typing import Array, PyTree


def make_task(config: ExperimentConfig, class_weights: Sequence[float] = ()) -> Task:
    """Returns the task that a configuration names.

    Args:
        config: What to do.
        class_weights: Those of the run, from `class_weights_of`; empty for none.

    Raises:
        ValueError: if the loss is unknown or not for this task, or an option of it is.
    """
    loss = config.loss
    if config.task == "capsules":
        return capsules()
    chosen: dict[str, Any] = {"loss_options": loss.options}
    if loss.name is not None:
        chosen["loss"] = loss.name
    if config.task == "reconstruction":
        return reconstruction(**chosen)
    return classification(
        **chosen,
        label_smoothing=config.label_smoothing,
        class_weights=tuple(class_weights) or None,
    )


def class_weights_of(
    config: ExperimentConfig, source: Source, classes: int
) -> tuple[float, ...]:
    """Returns a weight for every logit, or nothing if the configuration gives none.

    Args:
        config: What to do.
        source: The training part, without what is set aside: its counts balance.
        classes: The model's logits, as many as the source's classes or more.

    Raises:
        ValueError: if weights are given, but not one for each logit.
    """
    weights = config.loss.class_weights
    if weights is None:
        return ()
    if weights == "balanced":
        return balanced_weights(source.labels, classes)
    if len(weights) != classes:
        raise ValueError(
            f"loss.class_weights holds {len(weights)} weights, but there are {classes} "
            "classes."
        )
    return tuple(weights)


def make_config_penalty(config: ExperimentConfig) -> Callable[[PyTree], Array] | None:
    """Returns the penalty that a configuration describes, or None without one.

    Raises:
        ValueError: for a strength or a pattern that is not allowed.
    """
    penalty = config.penalty
    if not (penalty.l1 or penalty.l2 or penalty.rules):
        return None
    return make_penalty(
        l1=penalty.l1, l2=penalty.l2, pattern=penalty.pattern, rules=penalty.rules
    )
