"""Measures the model of a run folder on a split of its data."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from etils import epath

from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.objective import make_task
from jaxcnn.experiment.other_data import evaluation_of, with_data
from jaxcnn.experiment.selection import derived_metrics, evaluation_task
from jaxcnn.run import Run, load_run
from jaxcnn.train import (
    TrainState,
    evaluate,
    make_eval_step,
    parallelize,
    with_views,
)


def measure_run(
    directory: epath.PathLike,
    split: str | None = None,
    *,
    step: str | int | None = None,
    raw: bool = False,
    data_dir: str | None = None,
    views: Sequence[str] = (),
    data: str | None = None,
) -> tuple[int, dict[str, float]]:
    """Returns the step that was measured and its metrics, each example counted once.

    Args:
        directory: The run folder.
        split: A part of the run's data; `"validation"` is the part that it set aside.
            By default `"test"`, and all of other data that are in no splits.
        step: As for `load_run`.
        raw: As for `load_run`.
        data_dir: Where the data are now, if not where they were in training.
        views: Averages the predictions over views of each image, such as `["flip"]`.
        data: Measures on other data of the same classes: a name as for `load_source`,
            or the path of a folder or table of images or of a `.npz` file.

    Raises:
        ValueError: if the folder is not a run folder, there is no such split, views
            are unknown or for another task, or other data are of other classes.
        OSError: if the data are missing.
    """
    run, config = opened_run(
        directory, step=step, raw=raw, data_dir=data_dir, data=data
    )
    batches = evaluation_of(run.config, config, split, other=data is not None)
    preprocess = make_preprocess(run.config.preprocess)
    task = evaluation_task(make_task(config, run.config.class_weights), config)
    if views and config.task != "classification":
        raise ValueError(
            f"--tta is for the task 'classification', not {config.task!r}."
        )
    if views:
        task, preprocess = with_views(task, views, preprocess=preprocess)
    step_fn = make_eval_step(run.model, task, preprocess=preprocess)
    derive = derived_metrics(config)
    return run.step, evaluate(
        parallelize(step_fn), state_of(run), batches, derive=derive
    )


def opened_run(
    directory: epath.PathLike,
    *,
    step: str | int | None = None,
    raw: bool = False,
    data_dir: str | None = None,
    data: str | None = None,
) -> tuple[Run, ExperimentConfig]:
    """Returns the model of a run folder and the configuration that tells its data.

    Args:
        directory: The run folder.
        step: As for `load_run`.
        raw: As for `load_run`.
        data_dir: Where the data are now, if not where they were in training.
        data: Other data, as for `measure_run`.

    Raises:
        ValueError: if the folder is not a run folder, or does not name its data, or
            the other data are pictures and the model takes none.
    """
    run = load_run(directory, step=step, raw=raw)
    if not run.config.experiment:
        raise ValueError(f"{directory} does not say on which data it was trained.")
    config = ExperimentConfig.from_json(run.config.experiment)
    if data is not None:
        config = with_data(config, run.config, data)
    if data_dir is not None:
        found = dataclasses.replace(config.data, data_dir=data_dir)
        config = dataclasses.replace(config, data=found)
    return run, config


def state_of(run: Run) -> TrainState:
    """Returns the variables of a run as a state, for evaluation steps alone."""
    variables = dict(run.variables)
    return TrainState(
        step=jnp.asarray(run.step, jnp.int32),
        params=variables.pop("params"),
        model_state=variables,
        opt_state=(),
        rng=jax.random.key(0),
        extras={},
    )
