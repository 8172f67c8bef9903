"""Trains what a configuration describes, in a run folder from which it can go on."""

import contextlib
import dataclasses
import json
import platform
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

import jax
from etils import epath

from jaxcnn.checkpoint import Checkpoints, processes
from jaxcnn.experiment.build import Experiment, build
from jaxcnn.experiment.compiled import keep_compiled
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.determinism import make_deterministic
from jaxcnn.experiment.folder import RESULTS_FILE, take_folder
from jaxcnn.experiment.observing import observers, throughput_of
from jaxcnn.experiment.optimizer import peak_rate
from jaxcnn.experiment.pictures import draw_results
from jaxcnn.experiment.selection import derived_metrics
from jaxcnn.experiment.settings import settings_of
from jaxcnn.experiment.stability import limits
from jaxcnn.experiment.trials import shorten
from jaxcnn.run import CHECKPOINTS, METRICS, load_run, write_json
from jaxcnn.train import (
    DrawCurves,
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    Loop,
    Progress,
    ReduceOnPlateau,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
    TimeLimit,
    TrainLog,
    TrainState,
    evaluate,
    fit,
)
from jaxcnn.train.ema import without_average
from jaxcnn.train.freed_memory import keep_freed_memory
from jaxcnn.version import __version__


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
        reports: What this start said of itself, by kind: compilation, speed, time.
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
    reports: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)


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
        NonFiniteError: if the loss or the state is not finite, and `on_nonfinite` or
            its limit ends the run.
    """
    start = time.monotonic()
    file = sys.stderr if file is None else file
    if config.deterministic:
        make_deterministic()
    if config.keep_memory:
        keep_freed_memory()
    if config.keep_compiled:
        keep_compiled()
    experiment = build(config)
    if config.fast_dev_run:
        experiment = shorten(experiment)
        config = experiment.config
    folder = epath.Path(config.run_dir)
    with contextlib.ExitStack() as stack:
        stack.callback(experiment.close)
        # By one process: several would take each other's files for those of a run.
        processes.from_primary(lambda: take_folder(folder, experiment, stack))
        best, mode = experiment.run_config.best, experiment.run_config.mode
        checkpoints = stack.enter_context(
            Checkpoints(folder / CHECKPOINTS, best=best, mode=mode)
        )
        saver = SaveCheckpoints(
            checkpoints,
            every=config.save_every or experiment.train.steps_per_epoch,
            split="validation",
        )
        state = saver.resume(experiment.init_state, experiment.abstract_state)
        _announce(experiment, int(state.step), folder, file)
        outcome = _Outcome()
        state = fit(
            state,
            experiment.step,
            experiment.train,
            num_steps=experiment.num_steps,
            hooks=[*_hooks(experiment, folder, saver, file), outcome],
            **limits(config),
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
            reports=outcome.reports,
        )
        return _finish(experiment, folder, result) if outcome.complete else result


def _hooks(
    experiment: Experiment, folder: epath.Path, saver: SaveCheckpoints, file: IO[str]
) -> list[Hook]:
    """Returns the hooks in the order that exact resuming needs."""
    config, best = experiment.config, experiment.run_config.best
    hooks: list[Hook] = [
        StopOnSignal(),
        JsonLines(folder / METRICS),
    ]
    if config.debug_nans:
        hooks.insert(0, experiment.debug_nans())
    if config.time_limit is not None:
        hooks.append(TimeLimit(config.time_limit))
    if config.tensorboard:
        hooks.append(TensorBoard(folder / "tensorboard"))
    if experiment.validation is not None:
        every = config.eval_every or experiment.train.steps_per_epoch
        derive = derived_metrics(config)
        hooks.append(
            Evaluate(
                experiment.eval_step, experiment.validation, every=every, derive=derive
            )
        )
    schedule = experiment.schedule
    if experiment.plateau is not None:
        rate = peak_rate(config)
        plateau = ReduceOnPlateau(experiment.plateau, rate, schedule=schedule)
        hooks.append(plateau)
        schedule = plateau.rate
    # After the evaluation, so that no record is left to make after the last save.
    speed = throughput_of(experiment)
    hooks.append(TrainLog(config.log_every, schedule=schedule, throughput=speed))
    hooks += [*observers(experiment, folder), Progress(file=file, throughput=speed)]
    hooks.append(saver)
    if config.patience and not config.overfit_batches:
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
    """Remembers how the loop ended, and the newest report of each kind."""

    def __init__(self) -> None:
        self.reports: dict[str, dict[str, float]] = {}

    def on_report(self, loop: Loop, name: str, values: dict[str, float]) -> None:
        self.reports[name] = values

    def on_end(self, loop: Loop) -> None:
        self.step = loop.step
        self.complete = loop.complete
        self.stop_reason = loop.stop_reason


def _title(experiment: Experiment) -> str:
    return f"{experiment.run_config.model} on {experiment.config.data.name}"


def _announce(
    experiment: Experiment, step: int, folder: epath.Path, file: IO[str]
) -> None:
    if jax.process_index():
        return
    config, run = experiment.config, experiment.run_config
    where = f"from step {step} of {experiment.num_steps}" if step else "from the start"
    print(
        f"{run.model} on {config.data.name}: {len(experiment.train.source):,} "
        f"{experiment.train.source.kind}, "
        f"{experiment.num_steps:,} steps of {config.data.batch_size} on "
        f"{experiment.step.devices} {jax.default_backend()} device(s), "
        f"{where}, in {folder}",
        file=file,
    )


def _finish(experiment: Experiment, folder: epath.Path, result: Result) -> Result:
    """Measures the finished run once, draws it, and writes `results.json`."""
    run = load_run(folder)
    path = folder / RESULTS_FILE
    known = processes.from_primary(lambda: _read_results(path))
    batches, split = experiment.test, "test"
    if batches is None:
        batches, split = experiment.validation, "validation"
    if known.get("step") == run.step and known.get("split") == split:
        metrics = known["metrics"]
    elif batches is None:
        metrics, split = {}, ""
    else:
        model_state = {k: v for k, v in run.variables.items() if k != "params"}
        measured = without_average(result.state).replace(
            params=run.variables["params"], model_state=model_state
        )
        derive = derived_metrics(experiment.config)
        metrics = evaluate(experiment.eval_step, measured, batches, derive=derive)
    result = dataclasses.replace(
        result, metrics=metrics, split=split, tested_step=run.step
    )
    if jax.process_index() == 0 and known.get("step") != run.step:
        write_json(path, _results(result) | {"settings": settings_of(experiment)})
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
        **{f"{k}_of_last_start": v for k, v in result.reports.items()},
        "hardware": f"{jax.device_count()} x {jax.devices()[0].device_kind}, "
        f"{platform.processor() or platform.machine()}",
        "versions": {
            "jaxcnn": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }
