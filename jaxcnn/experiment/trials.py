"""Runs that only try whether a recipe works: a few batches of all, or overfitting."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from etils import epath

from jaxcnn.data import EvalData, TrainData, WorkerData
from jaxcnn.run import CHECKPOINTS, CONFIG_FILE, RunConfig

if TYPE_CHECKING:
    from jaxcnn.experiment.build import Experiment


def first_batches(train: TrainData, count: int) -> TrainData:
    """Returns the first batches of the first epoch alone, in the same order for ever.

    An epoch then has `count` steps. The batches are those that training would begin
    with, whatever order the source is in.

    Raises:
        ValueError: if there are not so many.
    """
    if count > train.steps_per_epoch:
        raise ValueError(
            f"overfit_batches is {count}, but an epoch has {train.steps_per_epoch} "
            "batches."
        )
    whole = dataclasses.replace(train, process_index=0, process_count=1)
    chosen = np.concatenate([whole.positions(k) for k in range(count)])
    return dataclasses.replace(
        train, source=train.source.subset(chosen), shuffle=False, sampling="uniform"
    )


def shorten(experiment: "Experiment") -> "Experiment":
    """Returns the experiment that does all that a run does, on a few batches of each.

    The schedule is that of the whole run, of which the first steps are made; then come
    an evaluation, a checkpoint, the test and the pictures. Nothing ends it early, and
    the folder starts anew each time.
    """
    config, count = experiment.config, experiment.config.fast_dev_run
    config = dataclasses.replace(
        config,
        eval_every=count,
        save_every=count,
        log_every=1,
        patience=0,
        time_limit=None,
        fresh=True,
        overwrite=True,
    )
    return dataclasses.replace(
        experiment,
        config=config,
        num_steps=min(count, experiment.num_steps),
        validation=_cut(experiment.validation, count),
        test=_cut(experiment.test, count),
    )


def require_no_run(folder: epath.Path) -> None:
    """Raises ValueError if a folder that a trial would delete holds a run itself."""
    if not any((folder / name).exists() for name in (CONFIG_FILE, CHECKPOINTS)):
        return
    config = folder / CONFIG_FILE
    trial = config.exists() and RunConfig.load(folder).experiment.get("fast_dev_run")
    if not trial:
        raise ValueError(
            f"{folder} holds a run, which fast_dev_run would delete: give another "
            "--run."
        )


def _cut(
    batches: EvalData | WorkerData | None, count: int
) -> EvalData | WorkerData | None:
    if batches is None:
        return None
    if isinstance(batches, WorkerData):
        first = _cut(batches.data, count)
        return WorkerData(first, batches.workers, timeout=batches.timeout)
    source = batches.source.subset(slice(count * batches.batch_size))
    return dataclasses.replace(batches, source=source)
