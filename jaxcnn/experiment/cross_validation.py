"""Cross-validation: a run for every fold, which can go on; their mean and spread."""

import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from typing import IO, Any, Literal

import numpy as np
from etils import epath

from jaxcnn.data import Fold, Source
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.main import exit_code
from jaxcnn.experiment.sources import load_data
from jaxcnn.experiment.training import Result, train
from jaxcnn.run import METRICS, RunConfig, load_run, write_json
from jaxcnn.table import aligned
from jaxcnn.train import read_metrics
from jaxcnn.train.hooks.base import writes_files
from jaxcnn.train.hooks.progress import format_metric

SUMMARY = "cross_validation.json"
PREDICTIONS = "out_of_fold.npz"
#: What a finished fold leaves in its run folder, so that it is not measured again.
_FOLD = "fold.json"
#: What of a configuration may differ between a finished fold and the next start.
_MAY_DIFFER = ("fresh", "overwrite", "time_limit", "tensorboard", "save_every")


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What the run of one fold reached on the fold that it was not trained on.

    Attributes:
        directory: Its run folder.
        repeat: Which assignment to folds, from 1.
        fold: Which fold, from 1.
        examples: How many examples the fold has.
        step: The step whose parameters were measured.
        metrics: What was measured, by name.
    """

    directory: str
    repeat: int
    fold: int
    examples: int
    step: int
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation found.

    Attributes:
        folds: One entry a fold, of each repeat.
        means: The mean over the folds of every metric.
        deviations: Their sample standard deviation (n - 1); one fold says nothing of
            how good another training set would be, so it is no standard error.
        stopped: The result of the fold that a signal or a time limit ended, or None.
    """

    folds: tuple[FoldResult, ...]
    means: dict[str, float]
    deviations: dict[str, float]
    stopped: Result | None = None


def cross_validate(
    config: ExperimentConfig,
    *,
    folds: int = 5,
    repeats: int = 1,
    select: str = "last",
    file: IO[str] | None = None,
) -> CrossValidation:
    """Trains a run for every fold on the other folds and measures it on that one.

    Fold k of RUN is the run folder RUN/fold-k (with repeats RUN/repeat-r/fold-k), an
    ordinary run. Started again, finished folds are skipped and the unfinished one goes
    on where it was. At the end RUN/cross_validation.json holds all results and, for
    classifiers, RUN/out_of_fold.npz the prediction for each example by the run that has
    not seen it. The test part is never measured.

    Args:
        config: What to do for each fold; `data.validation` has no meaning here.
        folds: How many, 2 or more; stratified by class.
        repeats: How many assignments to folds, each with a seed of the run more.
        select: `"last"`: the last step of each run is measured, which its fold did not
            choose. `"best"`: the best checkpoint by the fold itself, a little too good.
        file: Where the progress goes; standard error by default.

    Raises:
        ValueError: for a bad argument or configuration, a class with fewer examples
            than folds, or if a fold's folder holds another run.
        OSError: if the data are missing, or a folder cannot be written.
    """
    _check(config, folds, repeats, select)
    source = load_data(config, config.data.split, own=True)
    if source.labels is not None:
        Fold(1, folds).positions(source)  # raises before the first fold is trained
    file = sys.stderr if file is None else file
    done: list[FoldResult] = []
    for repeat in range(1, repeats + 1):
        for fold in range(1, folds + 1):
            part = fold_config(config, fold, folds, repeat, repeats)
            print(f"fold {fold} of {folds}" + _of(repeat, repeats), file=file)
            found = _finished(part, repeat, select) or _run(part, repeat, select, file)
            if isinstance(found, Result):
                return _summary(done, stopped=found)
            done.append(found)
    summary = _summary(done)
    if writes_files():
        folder = epath.Path(config.run_dir)
        write_json(folder / SUMMARY, _to_json(summary, folds, repeats, select))
        _save_predictions(folder / PREDICTIONS, source, config, folds, done)
    return summary


def fold_config(
    config: ExperimentConfig, fold: int, folds: int, repeat: int = 1, repeats: int = 1
) -> ExperimentConfig:
    """Returns the configuration of the run of one fold."""
    folder = f"{config.run_dir}/fold-{fold}"
    if repeats > 1:
        folder = f"{config.run_dir}/repeat-{repeat}/fold-{fold}"
    data = dataclasses.replace(
        config.data,
        folds=folds,
        fold=fold,
        fold_seed=config.data.fold_seed + repeat - 1,
        test_split="",
    )
    seed = config.seed + repeat - 1
    return dataclasses.replace(config, data=data, seed=seed, run=folder)


def table(found: CrossValidation) -> str:
    """Returns the metrics of every fold, their mean and their deviation as text."""
    names = list(found.means)
    repeats = max(result.repeat for result in found.folds)

    def cells(values: dict[str, float]) -> list[str]:
        return [format_metric(name, values[name]) for name in names]

    rows = []
    for result in found.folds:
        title = f"fold {result.fold}" + _of(result.repeat, repeats)
        rows.append([title, f"{result.examples:,}", *cells(result.metrics)])
    rows.append(["mean", "", *cells(found.means)])
    rows.append(["deviation", "", *cells(found.deviations)])
    return "\n".join(aligned(["", "examples", *names], rows))


def _check(config: ExperimentConfig, folds: int, repeats: int, select: str) -> None:
    if folds < 2:
        raise ValueError(f"folds must be 2 or more, got {folds}.")
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, got {repeats}.")
    if select not in ("last", "best"):
        raise ValueError(f"select is 'last' or 'best', got {select!r}.")
    if config.data.folds:
        raise ValueError("A cross-validation sets data.folds itself: give folds alone.")
    if config.fast_dev_run or config.overfit_batches:
        raise ValueError(
            "fast_dev_run and overfit_batches are for one run, not a cross-validation."
        )


def _of(repeat: int, repeats: int) -> str:
    return f", repeat {repeat}" if repeats > 1 else ""


def _finished(config: ExperimentConfig, repeat: int, select: str) -> FoldResult | None:
    """Returns what a finished fold reached, or None if it is to be trained."""
    folder = epath.Path(config.run_dir)
    try:
        kept = json.loads((folder / _FOLD).read_text())
    except (FileNotFoundError, ValueError):
        return None
    old = ExperimentConfig.from_json(kept["experiment"])
    same = {name: getattr(old, name) for name in _MAY_DIFFER}
    if dataclasses.replace(config, **same) != old or config.fresh:
        return None
    source = load_data(config, config.data.split)
    if RunConfig.load(folder).data.get("fingerprint") != source.fingerprint():
        return None  # training refuses, and says what differs
    return _result(config, repeat, kept["examples"], select)


def _run(
    config: ExperimentConfig, repeat: int, select: str, file: IO[str]
) -> FoldResult | Result:
    """Trains a fold, or goes on with it; returns its result, or how it was stopped."""
    result = train(config, file=file)
    if not result.complete:
        return result
    folder = epath.Path(config.run_dir)
    validation = load_data(config, "validation")
    if writes_files():
        values = {"examples": len(validation), "experiment": config.to_json()}
        write_json(folder / _FOLD, values)
    return _result(config, repeat, len(validation), select)


def _result(
    config: ExperimentConfig, repeat: int, examples: int, select: str
) -> FoldResult:
    """Returns the record of the last evaluation, or of the best one."""
    folder = epath.Path(config.run_dir)
    records = [r for r in read_metrics(folder / METRICS) if r["split"] == "validation"]
    record = records[-1]
    if select == "best":
        run = RunConfig.load(folder)
        sign = 1 if run.mode == "max" else -1
        # The first of equal ones, as the checkpoints have it.
        record = max(records, key=lambda r: (sign * r[run.best], -r["step"]))
    metrics = {
        name: value
        for name, value in record.items()
        if isinstance(value, float) and name not in ("epoch", "time", "seconds")
    }
    step = record["step"]
    return FoldResult(str(folder), repeat, config.data.fold, examples, step, metrics)


def _summary(
    done: Sequence[FoldResult], stopped: Result | None = None
) -> CrossValidation:
    names = list(done[0].metrics) if done else []
    values = {name: [result.metrics[name] for result in done] for name in names}
    return CrossValidation(
        folds=tuple(done),
        means={name: statistics.fmean(values[name]) for name in names},
        deviations={
            name: statistics.stdev(values[name]) if len(done) > 1 else float("nan")
            for name in names
        },
        stopped=stopped,
    )


def _to_json(
    found: CrossValidation, folds: int, repeats: int, select: str
) -> dict[str, Any]:
    return {
        "folds": folds,
        "repeats": repeats,
        "select": select,
        "measured": "each run on the fold it was not trained on; never the test part",
        "mean": found.means,
        "deviation": found.deviations,
        "runs": [dataclasses.asdict(result) for result in found.folds],
    }


def _save_predictions(
    path: epath.Path,
    source: Source,
    config: ExperimentConfig,
    folds: int,
    done: Sequence[FoldResult],
) -> None:
    """Writes the probabilities of every example by the run that has not seen it."""
    if config.task != "classification":
        return
    repeats = max(result.repeat for result in done)
    probabilities = None
    for result in done:
        part = fold_config(config, result.fold, folds, result.repeat, repeats)
        positions = part.data.held_out.positions(source)
        run = load_run(result.directory, step=result.step)
        predicted = run.predict(source.images[positions], batch_size=500)
        if probabilities is None:
            shape = (repeats, len(source), predicted.shape[1])
            probabilities = np.zeros(shape, np.float32)
            fold_of = np.zeros((repeats, len(source)), np.int32)
        probabilities[result.repeat - 1, positions] = predicted
        fold_of[result.repeat - 1, positions] = result.fold
    part_path = path.with_name(f"{path.name}.part")
    with part_path.open("wb") as file:
        np.savez_compressed(
            file,
            probabilities=probabilities,
            labels=source.labels,
            fold=fold_of,
            class_names=run.class_names,
        )
    part_path.replace(path)


@dataclasses.dataclass(frozen=True)
class _Flags(ExperimentConfig):
    """Cross-validates; FILE.py before the flags gives the defaults.

    All flags of `jaxcnn train` are taken. Started again, it goes on where it was.
    """

    folds: int = 5
    """How many folds."""
    repeats: int = 1
    """How many assignments to folds, each with another seed."""
    select: Literal["last", "best"] = "last"
    """Measure the last step of each run, or the best by its own fold."""
    json: bool = False
    """Print JSON."""


def command(default: ExperimentConfig, args: list[str]) -> int:
    """Cross-validates as flags describe, prints the table and returns the exit code.

    Raises:
        ValueError: for a bad flag or configuration.
        OSError: if the data are missing or a folder cannot be written.
    """
    fields = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    flags = parse_config(_Flags(**fields), args, prog="jaxcnn cross-validate")
    config = ExperimentConfig(**{name: getattr(flags, name) for name in fields})
    found = cross_validate(
        config, folds=flags.folds, repeats=flags.repeats, select=flags.select
    )
    if found.stopped is not None:
        print(
            f"Stopped in {found.stopped.directory}: {found.stopped.stop_reason}. The "
            "same command goes on from there."
        )
        return exit_code(found.stopped)
    if flags.json:
        print(json.dumps(_to_json(found, flags.folds, flags.repeats, flags.select)))
        return 0
    print(table(found))
    print(
        f"{flags.folds} folds of the training part; the test part was not measured. "
        f"All of it is in {config.run_dir}/{SUMMARY}"
    )
    return 0
