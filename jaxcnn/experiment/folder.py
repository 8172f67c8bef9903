"""The run folder: whose it is, and whether the run in it can go on like this."""

import contextlib
from typing import Any

from etils import epath

from jaxcnn.experiment.build import Experiment
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.observing import PROFILE, STATISTICS
from jaxcnn.experiment.optimizer import depends_on_length, warmup_steps
from jaxcnn.experiment.trials import require_no_run
from jaxcnn.lock import RunLock
from jaxcnn.run import CHECKPOINTS, CONFIG_FILE, METRICS, RunConfig

RESULTS_FILE = "results.json"
#: What may differ when a run goes on: nothing that changes a number of the steps made.
_MAY_CHANGE = {
    *("epochs", "steps", "time_limit", "tensorboard", "parallel", "save_every"),
    *("on_nonfinite", "nonfinite_limit", "debug_nans"),
    *("run", "fresh", "overwrite", "name", "data.data_dir", "data.eval_batch_size"),
    *("sharding.min_size", "sharding.rules", "sharding.axis"),
    *("profile", "layer_statistics", "peak_flops"),
    *("data.workers", "data.worker_timeout", "keep_compiled"),
    "keep_memory",
}
_OURS = (CHECKPOINTS, METRICS, CONFIG_FILE, RESULTS_FILE, "tensorboard")
_OURS += (PROFILE, STATISTICS, f"{STATISTICS}.png", "report.html")


def take_folder(
    folder: epath.Path, experiment: Experiment, stack: contextlib.ExitStack
) -> None:
    """Locks the folder until the stack ends and makes it this run's.

    Raises:
        ValueError: if it holds another run, or one that `fresh` would delete untold.
        OSError: if it cannot be written, or another process trains in it.
    """
    config = experiment.config
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"The run folder {folder} cannot be made: {error}.") from error
    stack.enter_context(RunLock(folder))
    if config.fast_dev_run:
        require_no_run(folder)
    if config.fresh and any((folder / name).exists() for name in _OURS):
        _delete_run(folder, config.overwrite)
    elif (folder / CONFIG_FILE).exists():
        _require_same(RunConfig.load(folder), experiment, folder)
    elif (folder / CHECKPOINTS).exists():
        raise ValueError(
            f"{folder} holds checkpoints but no {CONFIG_FILE} that says what they are "
            "of. Give another --run, or --fresh --overwrite."
        )
    try:
        experiment.run_config.save(folder)
    except OSError as error:
        raise OSError(f"The run folder {folder} cannot be written: {error}.") from error


def _delete_run(folder: epath.Path, sure: bool) -> None:
    if not sure:
        raise ValueError(
            f"{folder} holds a run already, which --fresh would delete: add "
            "--overwrite to do so, or give another folder with --run."
        )
    for name in _OURS:
        path = folder / name
        if path.is_dir():
            path.rmtree()
        else:
            path.unlink(missing_ok=True)


def _require_same(old: RunConfig, experiment: Experiment, folder: epath.Path) -> None:
    """Raises ValueError, with both sides of every difference, if a run cannot go on."""
    new = experiment.run_config
    differences = [
        f"{name}: was {one!r}, now {two!r}"
        for name, one, two in _compare(_filled(old.experiment), new.experiment)
        if name not in _MAY_CHANGE and not name.startswith("mesh.")
    ]
    if old.batch_groups != new.batch_groups and not differences:
        differences.append(
            f"batch_statistics {experiment.config.batch_statistics!r}: was over "
            f"{old.batch_groups} groups of a batch, now over {new.batch_groups}"
        )
    if old.data != new.data:
        differences.append(f"data: was {old.data}, now {new.data}")
    if old.model_args != new.model_args and not differences:
        differences.append(f"model: was {old.model_args}, now {new.model_args}")
    if not differences:
        differences = _length_differences(old, experiment)
    if differences:
        raise ValueError(
            f"{folder} holds a run that cannot go on like this. "
            f"{'; '.join(differences)}. Give another --run, or --fresh --overwrite."
        )


def _filled(experiment: dict[str, Any]) -> dict[str, Any]:
    """Returns the configuration with fields that are younger than the run."""
    return ExperimentConfig.from_json(experiment).to_json()


def _length_differences(old: RunConfig, experiment: Experiment) -> list[str]:
    """Returns what a new length of the run would change of the steps made."""
    before, now = ExperimentConfig.from_json(old.experiment), experiment.config
    per_epoch, schedule = experiment.train.steps_per_epoch, now.optimizer.schedule
    lengths = [(c.epochs, c.steps) for c in (before, now)]
    if depends_on_length(now.optimizer) and lengths[0] != lengths[1]:
        return [
            f"the length, which the schedule {schedule!r} depends on: was "
            f"(epochs, steps) = {lengths[0]}, now {lengths[1]}"
        ]
    rises = [warmup_steps(c, per_epoch) for c in (before, now)]
    if rises[0] != rises[1]:
        return [
            "the warm-up, cut to half of a short run: was "
            f"{rises[0]} steps, now {rises[1]}"
        ]
    return []


def _compare(
    old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Returns `(field, old, new)` for every field that differs."""
    differences = []
    for name in {**old, **new}:
        one, two = old.get(name), new.get(name)
        if isinstance(one, dict) and isinstance(two, dict) and name != "args":
            differences += _compare(one, two, f"{prefix}{name}.")
        elif one != two:
            differences.append((prefix + name, one, two))
    return differences
