"""From a configuration and its data to what the run folder says of a run."""

import inspect
from typing import Any

from flax import linen as nn

from jaxcnn.data import Source
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.devices import batch_groups
from jaxcnn.experiment.objective import class_weights_of
from jaxcnn.experiment.selection import best_metric, best_mode
from jaxcnn.experiment.sources import KINDS
from jaxcnn.experiment.transfer import Transfer
from jaxcnn.registry import create_model, model_kind
from jaxcnn.run import RunConfig


def make_run_config(
    config: ExperimentConfig, source: Source, transfer: Transfer | None = None
) -> RunConfig:
    """Returns what the run folder will say of a run: model, data and how they meet.

    Args:
        config: What to do.
        source: The training examples.
        transfer: The trained weights that it starts from, or None.

    Raises:
        ValueError: if the model does not fit the task, the data or the precision.
    """
    name = config.model.name
    kind, wanted = model_kind(name), KINDS[config.task]
    if kind in KINDS.values() and kind != wanted:
        raise ValueError(
            f"The task {config.task!r} needs a {wanted}; {name!r} is a {kind}."
        )
    arguments = dict(config.model.args)
    preprocess, weights = None, ()
    if transfer is not None:
        arguments = {**transfer.model_args, **arguments}
        preprocess = transfer.preprocess(source.image_shape[-1])
    if config.task == "capsules" and not _takes_labels(create_model(name, **arguments)):
        raise ValueError(
            f"The task 'capsules' needs a model that is called with labels too, such "
            f"as 'capsnet'; {name!r} is not."
        )
    classifies = wanted == "classifier"
    if classifies:
        classes = arguments.setdefault("num_classes", source.num_classes)
        if isinstance(classes, int):  # what is no number at all, the model refuses
            _check_classes(classes, config, source)
            weights = class_weights_of(config, source, classes)
        if config.data.standardize and preprocess is None:
            preprocess = PreprocessConfig(*source.channel_stats())
    else:
        _fit_to_images(arguments, name, source)
    if config.precision != "float32":
        if arguments.setdefault("dtype", config.precision) != config.precision:
            raise ValueError(
                f"precision is {config.precision!r}, but model.args has the dtype "
                f"{arguments['dtype']!r}: give one of them."
            )
    return RunConfig(
        model=name,
        model_args=arguments,
        task=config.task,
        image_shape=source.image_shape,
        class_names=_class_names(source, arguments) if classifies else (),
        preprocess=preprocess,
        class_weights=weights,
        best=(
            best_metric(config)
            # How far the last step overfits is the question, not which was best.
            if config.data.held_out and not config.overfit_batches
            else None
        ),
        mode=best_mode(config),
        batch_groups=batch_groups(config),
        averaged=config.ema is not None,
        data={
            "name": config.data.name,
            "split": source.split,
            "examples": len(source),
            "fingerprint": source.fingerprint(),
        },
        experiment=config.to_json(),
        head={} if transfer is None else transfer.head(),
        transfer={} if transfer is None else transfer.record,
    )


def _check_classes(classes: int, config: ExperimentConfig, source: Source) -> None:
    if classes < source.num_classes:
        raise ValueError(
            f"num_classes is {classes}, but {config.data.name!r} has "
            f"{source.num_classes} classes."
        )


def _fit_to_images(arguments: dict[str, Any], name: str, source: Source) -> None:
    """Sets what a model without classes takes of its images, where it is not given."""
    model = create_model(name, **arguments)
    means, _ = source.channel_stats()
    for option, value in {
        "image_shape": list(source.image_shape),
        "output_mean": sum(means) / len(means),
    }.items():
        if hasattr(model, option):
            arguments.setdefault(option, value)


def _takes_labels(model: nn.Module) -> bool:
    return "labels" in inspect.signature(type(model).__call__).parameters


def _class_names(source: Source, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Returns a name for every logit, those that no example has included."""
    known, wanted = source.class_names, arguments["num_classes"]
    if not isinstance(wanted, int):
        return known
    return (*known, *(f"class {k}" for k in range(len(known), wanted)))
