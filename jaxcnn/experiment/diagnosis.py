"""What the learning curves of a run folder say."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from etils import epath
from flax import linen as nn

from jaxcnn.diagnostics import Curves, Diagnosis, curves_of, diagnose
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.objective import make_task
from jaxcnn.run import METRICS, RunConfig
from jaxcnn.train import read_metrics


@dataclasses.dataclass(frozen=True)
class RunDiagnosis:
    """The verdict on a run, and the curves that it is of.

    Attributes:
        diagnosis: The verdict.
        curves: What it was made of.
        metric: `"loss"` or `"accuracy"`, of which the curves are the errors.
        title: The model and its data.
        chance: What a model that knows nothing gets; None if that is not known.
    """

    diagnosis: Diagnosis
    curves: Curves
    metric: str
    title: str
    chance: float | None


def diagnose_run(
    directory: epath.PathLike, *, metric: str | None = None
) -> RunDiagnosis:
    """Returns what the recorded curves of a run say; nothing is computed anew.

    Args:
        directory: The run folder; the run may still go on.
        metric: `"loss"` or `"accuracy"`; by default the loss if it was recorded.

    Raises:
        ValueError: if the folder is not a run folder or holds no records yet, or none
            has the metric.
    """
    run = RunConfig.load(directory)
    records = read_metrics(epath.Path(directory) / METRICS)
    if not any(r["split"] in ("train", "validation") for r in records):
        raise ValueError(
            f"{directory} holds no records yet: there are no learning curves."
        )
    if metric is None:
        metric = "loss" if any("loss" in r for r in records) else "accuracy"
    curves = curves_of(records, metric=metric)
    config = ExperimentConfig.from_json(run.experiment) if run.experiment else None
    chance, floor = _bounds(run, config, metric)
    diagnosis = diagnose(
        curves.train,
        curves.validation,
        chance=chance,
        floor=floor,
        raised=() if config is None else raised_by(run, config),
        stopped=curves.stopped,
        left_out=curves.left_out,
        examples=None if config is None else validation_examples(run, config),
        axis=curves.axis,
        name="loss" if metric == "loss" else "error rate",
    )
    data = "" if config is None else f" on {config.data.name}"
    return RunDiagnosis(diagnosis, curves, metric, f"{run.model}{data}", chance)


def verdict_line(directory: epath.PathLike) -> str | None:
    """Returns one line on the curves of a run that has ended.

    None where there is not enough to be judged, so that short trials are not commented
    on: without a validation part, or with too few points.
    """
    try:
        found = diagnose_run(directory).diagnosis
    except ValueError:  # such as a run whose task records no loss
        return None
    return f"The curves: {found.line}" if found.enough else None


def validation_examples(run: RunConfig, config: ExperimentConfig) -> int | None:
    """Returns how many examples were set aside, or None if that is not known.

    It is worked out from those that were trained on, so it may be one off.
    """
    trained, data = run.data.get("examples"), config.data
    if trained is None or config.overfit_batches:
        return None
    if data.folds:
        return round(trained / (data.folds - 1))
    if data.validation >= 1:
        return int(data.validation)
    return round(trained * data.validation / (1 - data.validation)) or None


def raised_by(run: RunConfig, config: ExperimentConfig) -> tuple[str, ...]:
    """Returns what makes the recorded training loss higher than that of evaluation.

    The training records are made in training: on augmented images, by a network of
    which parts are dropped. Penalties are no part of the recorded loss.
    """
    causes = []
    if config.data.augment:
        causes.append("augmentation")
    elif config.data.decode == "lazy" and config.data.random_crop:
        causes.append("random crops")
    if _drops(run.build_model()) or _positive(run.head.get("dropout")):
        causes.append("dropout")
    if config.ema is not None:
        causes.append("averaged weights in validation")
    if config.data.sampling != "uniform":
        causes.append("sampling by class")
    return tuple(causes)


def _drops(model: nn.Module) -> bool:
    """Returns whether a model, or one that it is made of, drops something."""
    for field in dataclasses.fields(model):
        value = getattr(model, field.name, None)
        if "drop" in field.name and _positive(value):
            return True
        if field.name != "parent" and isinstance(value, nn.Module) and _drops(value):
            return True
    return False


def _positive(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(_positive, value))
    return isinstance(value, int | float) and value > 0


def _bounds(
    run: RunConfig, config: ExperimentConfig | None, metric: str
) -> tuple[float | None, float]:
    """Returns what a model that knows nothing gets, and the least that there can be."""
    classes = len(run.class_names)
    if not run.classifies or classes < 2:
        return None, 0.0
    if metric == "accuracy":
        return 1 - 1 / classes, 0.0
    if config is None or config.task != "classification":
        return None, 0.0
    if config.loss.class_weights not in (None, "balanced"):
        return None, 0.0  # the mean weight of an example is not known here
    return _guessing(config, classes), _entropy(config.label_smoothing, classes)


def _guessing(config: ExperimentConfig, classes: int) -> float:
    """Returns the loss of equal logits."""
    if config.loss.name in (None, "softmax_cross_entropy"):
        return math.log(classes)  # with smoothed labels too
    batch = {"label": jnp.arange(classes)}
    logits = jnp.zeros((classes, classes))
    return float(make_task(config).loss(logits, batch).mean())


def _entropy(smoothing: float, classes: int) -> float:
    """Returns the entropy of a smoothed target: no loss is lower."""
    if not smoothing:
        return 0.0
    other = smoothing / classes
    shares: Mapping[float, int] = {1 - smoothing + other: 1, other: classes - 1}
    return -sum(n * p * math.log(p) for p, n in shares.items())
