"""From a configuration to the batches of a run's parts."""

from typing import NamedTuple

import jax

from jaxcnn.augment.by_name import needs_numbers
from jaxcnn.data import (
    EvalData,
    LazySource,
    ResidentData,
    Source,
    TrainData,
    WorkerData,
    noisy,
)
from jaxcnn.data.splits import parse_split
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.sources import load_data
from jaxcnn.experiment.trials import first_batches


class Batches(NamedTuple):
    """The data of a run.

    Attributes:
        source: The training examples.
        train: The training batches.
        validation: The evaluation batches of the validation part, or None.
        test: The evaluation batches of the test part, or None.
    """

    source: Source
    train: TrainData | WorkerData | ResidentData
    validation: EvalData | WorkerData | None
    test: EvalData | WorkerData | None


def make_batches(config: ExperimentConfig) -> Batches:
    """Returns the batches of each part of the data that the run looks at.

    Args:
        config: What to do.

    Raises:
        ValueError: if the devices cannot share a batch, or the data do not fit.
        OSError: if the data are not there.
    """
    data = config.data
    source = load_data(config, data.split, training=True)
    devices = 1 if config.parallel == "jit" else jax.device_count()
    _check_batch_size(config, devices)
    train = TrainData(
        source,
        data.batch_size,
        config.seed,
        sampling=data.sampling,
        numbered=any(needs_numbers(spec) for spec in data.augment),
    )
    eval_size = -(-data.eval_batch_size // devices) * devices
    validation = test = None
    if data.held_out:
        validation = evaluation_data(config, "validation", eval_size)
    if data.test_split:
        # The dataset's own validation split, not the part of train of that name.
        own = parse_split(data.test_split).base == "validation"
        test = evaluation_data(config, data.test_split, eval_size, own=own)
    if config.overfit_batches:
        train = first_batches(train, config.overfit_batches)
        validation, test = _decoded(config, train.eval_batches(eval_size)), None
    train = _decoded(config, train)
    if data.resident:
        train = ResidentData(train, config.steps_per_call)
    return Batches(source, train, validation, test)


def _check_batch_size(config: ExperimentConfig, devices: int) -> None:
    size = config.data.batch_size
    if size % devices:
        raise ValueError(
            f"data.batch_size is {size}, which {devices} devices cannot share evenly."
        )
    if size % (devices * config.accumulate):
        raise ValueError(
            f"data.batch_size is {size}, which cannot be split over {devices} "
            f"device(s) into accumulate={config.accumulate} microbatches each."
        )


def _decoded(
    config: ExperimentConfig, data: TrainData | EvalData
) -> TrainData | EvalData | WorkerData:
    """Returns the data; if it has to be decoded, batches made by worker processes."""
    if not isinstance(data.source, LazySource):
        return data
    workers, timeout = config.data.workers, config.data.worker_timeout
    return WorkerData(data, workers, timeout=timeout)


def evaluation_data(
    config: ExperimentConfig, split: str, batch_size: int, *, own: bool = False
) -> EvalData | WorkerData:
    """Returns the batches of a split, with the noise that the run is to remove.

    Args:
        config: Of the run.
        split: The split.
        batch_size: Of the global batch.
        own: Whether `"validation"` is the dataset's split of that name, also where the
            run sets a part of train apart under it.

    Raises:
        ValueError: if there is no such split, or it has no labels to classify by.
        OSError: if the data are not there.
    """
    source = load_data(config, split, own=own, training=False)
    if config.data.noise:
        source = noisy(source, config.data.noise)
    return _decoded(config, EvalData(source, batch_size))
