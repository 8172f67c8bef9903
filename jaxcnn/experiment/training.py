"""Trains what a configuration describes, in a run folder from which it can go on."""

import contextlib
import dataclasses
import json
import platform
import sys
import time
from typing import IO, Any

import jax
from etils import epath

from jaxcnn.checkpoint import Checkpoints, processes
from jaxcnn.experiment.build import Experiment, build, warmup_steps
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.pictures import draw_results
from jaxcnn.lock import RunLock
from jaxcnn.run import (
    CHECKPOINTS,
    CONFIG_FILE,
    METRICS,
    RunConfig,
    load_run,
    write_json,
)
from jaxcnn.train import (
    DrawCurves,
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    Loop,
    Progress,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
    TimeLimit,
    TrainLog,
    TrainState,
    evaluate,
    fit,
)
from jaxcnn.version import __version__

RESULTS_FILE = "results.json"
#: What may differ when a run goes on: nothing that changes a number of the steps made.
_MAY_CHANGE = {
    *("epochs", "steps", "time_limit", "tensorboard", "parallel", "save_every"),
    *("run", "fresh", "overwrite", "name", "data.data_dir", "data.eval_batch_size"),
}
_OURS = (CHECKPOINTS, METRICS, CONFIG_FILE, RESULTS_FILE, "tensorboard")


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        directory: The run folder.
        step: Updates made in all.
        complete: Whether it reached its end and was tested; else it can go on.
        stop_reason: Why it ended before its last step, or None.
        metrics: The test metrics, or those of the validation part; empty if incomplete.
        split: Which of the two they are of.
        tested_step: The step whose parameters were measured.
        seconds: Time of this start, compilation and evaluations included.
        state: The last state, or the best after early stopping.
    """

    directory: str
    step: int
    complete: bool
    stop_reason: str | None
    metrics: dict[str, float]
    split: str
    tested_step: int
    seconds: float
    state: TrainState


def train(config: ExperimentConfig, *, file: IO[str] | None = None) -> Result:
    """Trains, or goes on with, the run in `config.run_dir`; tests it once at the end.

    The folder is left with `config.json`, `checkpoints/`, `metrics/`, `curves.png`, a
    picture of predictions or reconstructions, and `results.json`.

    Args:
        config: What to do.
        file: Where the progress goes; standard error by default.

    Raises:
        ValueError: for a bad configuration; if the folder holds a run of another model
            or other data; if `fresh` would delete a run and `overwrite` is not given.
        OSError: if the data are missing, or the folder cannot be written.
        NonFiniteError: if the loss or the state is not finite.
    """
    start = time.monotonic()
    file = sys.stderr if file is None else file
    experiment = build(config)
    folder = epath.Path(config.run_dir)
    _make_folder(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(RunLock(folder))
        # By one process: several would take each other's files for those of a run.
        processes.from_primary(lambda: _prepare_folder(folder, experiment))
        best, mode = experiment.run_config.best, experiment.run_config.mode
        checkpoints = stack.enter_context(
            Checkpoints(folder / CHECKPOINTS, best=best, mode=mode)
        )
        saver = SaveCheckpoints(
            checkpoints,
            every=config.save_every or experiment.train.steps_per_epoch,
            split="validation",
        )
        state = saver.resume(experiment.init_state())
        _announce(experiment, int(state.step), folder, file)
        outcome = _Outcome()
        state = fit(
            state,
            experiment.step,
            experiment.train,
            num_steps=experiment.num_steps,
            hooks=[*_hooks(experiment, folder, saver, file), outcome],
        )
        result = Result(
            directory=str(folder),
            step=outcome.step,
            complete=outcome.complete,
            stop_reason=outcome.stop_reason,
            metrics={},
            split="",
            tested_step=outcome.step,
            seconds=time.monotonic() - start,
            state=state,
        )
        return _finish(experiment, folder, result) if outcome.complete else result


def _make_folder(folder: epath.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"The run folder {folder} cannot be made: {error}.") from error


def _hooks(
    experiment: Experiment, folder: epath.Path, saver: SaveCheckpoints, file: IO[str]
) -> list[Hook]:
    """Returns the hooks in the order that exact resuming needs."""
    config, best = experiment.config, experiment.run_config.best
    hooks: list[Hook] = [
        StopOnSignal(),
        JsonLines(folder / METRICS),
    ]
    if config.time_limit is not None:
        hooks.append(TimeLimit(config.time_limit))
    if config.tensorboard:
        hooks.append(TensorBoard(folder / "tensorboard"))
    if experiment.validation is not None:
        every = config.eval_every or experiment.train.steps_per_epoch
        hooks.append(Evaluate(experiment.eval_step, experiment.validation, every=every))
    # After the evaluation, so that no record is left to make after the last save.
    hooks.append(TrainLog(config.log_every, schedule=experiment.schedule))
    hooks += [Progress(file=file), saver]
    if config.patience:
        hooks.append(
            EarlyStopping(
                best or "loss",
                mode=experiment.run_config.mode,
                patience=config.patience,
                min_delta=config.min_delta,
                checkpoints=saver.checkpoints,
            )
        )
    curves = folder / "curves.png"
    return [*hooks, DrawCurves(curves, folder / METRICS, title=_title(experiment))]


class _Outcome(Hook):
    """Remembers how the loop ended."""

    def on_end(self, loop: Loop) -> None:
        self.step = loop.step
        self.complete = loop.complete
        self.stop_reason = loop.stop_reason


def _title(experiment: Experiment) -> str:
    return f"{experiment.run_config.model} on {experiment.config.data.name}"


def _prepare_folder(folder: epath.Path, experiment: Experiment) -> None:
    """Makes the folder this run's, or raises if it is another's."""
    config = experiment.config
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
        if name not in _MAY_CHANGE
    ]
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
    if schedule != "constant" and lengths[0] != lengths[1]:
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


def _announce(
    experiment: Experiment, step: int, folder: epath.Path, file: IO[str]
) -> None:
    if jax.process_index():
        return
    config, run = experiment.config, experiment.run_config
    where = f"from step {step} of {experiment.num_steps}" if step else "from the start"
    print(
        f"{run.model} on {config.data.name}: {len(experiment.train.source):,} images, "
        f"{experiment.num_steps:,} steps of {config.data.batch_size} on "
        f"{experiment.step.devices} {jax.default_backend()} device(s), "
        f"{where}, in {folder}",
        file=file,
    )


def _finish(experiment: Experiment, folder: epath.Path, result: Result) -> Result:
    """Measures the finished run once, draws it, and writes `results.json`."""
    run = load_run(folder)
    path = folder / RESULTS_FILE
    known = _read_results(path)
    batches, split = experiment.test, "test"
    if batches is None:
        batches, split = experiment.validation, "validation"
    if known.get("step") == run.step and known.get("split") == split:
        metrics = known["metrics"]
    elif batches is None:
        metrics, split = {}, ""
    else:
        model_state = {k: v for k, v in run.variables.items() if k != "params"}
        measured = result.state.replace(
            params=run.variables["params"], model_state=model_state
        )
        metrics = evaluate(experiment.eval_step, measured, batches)
    result = dataclasses.replace(
        result, metrics=metrics, split=split, tested_step=run.step
    )
    if jax.process_index() == 0 and known.get("step") != run.step:
        write_json(path, _results(result))
    if jax.process_index() == 0 and batches is not None:
        draw_results(folder, run, batches.source)
    return result


def _read_results(path: epath.Path) -> dict[str, Any]:
    """Returns what `results.json` holds: nothing if it is missing or damaged."""
    try:
        values = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) and "metrics" in values else {}


def _results(result: Result) -> dict[str, Any]:
    return {
        "split": result.split,
        "metrics": result.metrics,
        "step": result.tested_step,
        "last_step": result.step,
        "stopped": result.stop_reason,
        "seconds_of_last_start": round(result.seconds, 1),
        "hardware": f"{jax.device_count()} x {jax.devices()[0].device_kind}, "
        f"{platform.processor() or platform.machine()}",
        "versions": {
            "jaxcnn": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }
