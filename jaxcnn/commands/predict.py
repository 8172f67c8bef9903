"""The command `jaxcnn predict`: names what is on pictures, or on folders of them."""

import contextlib
import csv
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np
import tyro

from jaxcnn.commands.progress import shown
from jaxcnn.data.files import written_whole
from jaxcnn.experiment.file_predictions import (
    FilePrediction,
    FilePredictions,
    predict_files,
)
from jaxcnn.experiment.flags import parse_flags, step_of
from jaxcnn.experiment.report import parse_threshold, threshold_of

#: Broken files that are named at the end; --json names all.
_NAMED = 20


@dataclasses.dataclass(frozen=True)
class _Predict:
    """Names what is on pictures, the most probable classes first.

    Exit code 0 if all could be read, 1 if some could not (they are named at the end),
    2 for an error.
    """

    run: tyro.conf.Positional[str]
    """The run folder."""
    paths: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders of them, patterns such as "scans/**/*.png", tables (.csv) with
    a column path; - reads such a list from standard input, one a line."""
    top: str = "3"
    """How many classes to name, or all."""
    csv: str | None = None
    """Write a table into this file, whole or not at all; - prints it."""
    json: bool = False
    """Print JSON, an object a file and line."""
    threshold: str | None = None
    """Two classes: probability from which the second is named: 0.5, validation, ..."""
    tta: tuple[str, ...] = ()
    """Average over views: flip, "shifts(pixels=1)", "ten_crops(size=28)"."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""
    data_dir: str | None = None
    """--threshold validation: where the run's data are now, if not where they were."""
    batch_size: int = 64
    """Pictures that the model gets at a time."""
    on_broken: str = "skip"
    """What becomes of pictures that cannot be read: skip, or error to stop there."""


def command(args: list[str]) -> int:
    """Predicts, prints or writes what for, and returns the exit code.

    Raises:
        ValueError: for a bad flag, or if no file could be read.
        OSError: if there is nothing of a name, or the table cannot be written.
    """
    from jaxcnn.run import load_run
    from jaxcnn.train import keep_freed_memory

    flags = parse_flags(_Predict, args, prog="jaxcnn predict")
    _check(flags)
    keep_freed_memory()
    run = load_run(flags.run, step=step_of(flags.step), raw=flags.raw)
    paths, listed = _paths(flags.paths)
    predictions = predict_files(
        run, paths, views=flags.tta, batch_size=flags.batch_size, listed=listed
    )
    names = run.class_names
    if flags.threshold is not None and len(names) != 2:
        raise ValueError(f"--threshold is for two classes; there are {list(names)}.")
    top = len(names) if flags.top == "all" else min(int(flags.top), len(names))
    return _write(flags, predictions, _Namer(names, top, _threshold(flags)))


def _check(flags: _Predict) -> None:
    if flags.top != "all" and not (flags.top.isdecimal() and int(flags.top) >= 1):
        raise ValueError(f"--top must be 1 or more, or all, got {flags.top!r}.")
    if flags.on_broken not in ("skip", "error"):
        raise ValueError(f"--on-broken is skip or error, got {flags.on_broken!r}.")
    if flags.json and flags.csv == "-":
        raise ValueError(
            "--csv - and --json exclude each other: both would be printed."
        )
    if not flags.paths:
        raise ValueError("predict needs at least one picture or folder.")
    if flags.threshold is not None:
        parse_threshold(flags.threshold)


def _threshold(flags: _Predict) -> float | None:
    if flags.threshold is None:
        return None
    how = {"step": step_of(flags.step), "raw": flags.raw, "data_dir": flags.data_dir}
    return threshold_of(flags.run, flags.threshold, views=flags.tta, **how)


def _paths(given: Sequence[str]) -> tuple[list[str], bool]:
    """Returns the paths, and whether they come from a list."""
    if "-" not in given:
        return list(given), False
    if len(given) > 1:
        raise ValueError("- stands for a list of paths: give it alone.")
    paths = [line.rstrip("\r\n") for line in sys.stdin]
    paths = [path for path in paths if path.strip()]
    if not paths:
        raise ValueError("predict needs at least one path on standard input.")
    return paths, True


@dataclasses.dataclass(frozen=True)
class _Namer:
    """Names the classes of a prediction."""

    names: tuple[str, ...]
    top: int
    threshold: float | None

    def ranked(self, probabilities: np.ndarray) -> list[tuple[str, float]]:
        """Returns the most probable classes, of equals the first."""
        order = np.argsort(-probabilities, kind="stable")[: self.top]
        return [(self.names[k], float(probabilities[k])) for k in order]

    def called(self, probabilities: np.ndarray) -> str:
        """Returns the class that the threshold decides for."""
        return self.names[int(probabilities[1] >= self.threshold)]


def _write(flags: _Predict, predictions: FilePredictions, namer: _Namer) -> int:
    """Goes through all files; returns 1 if some could not be read."""
    broken: list[str] = []
    count = 0
    with _table(flags, namer) as table:
        for found in shown(predictions, len(predictions), "files"):
            path = _printable(" + ".join(found.files))
            if found.broken is not None:
                if flags.on_broken == "error":
                    raise ValueError(f"{path} cannot be read: {found.broken}")
                broken.append(f"{path}: {found.broken}")
            count += found.broken is None
            if table is not None and found.broken is None:
                table.writerow(_row(path, found, namer))
            if flags.json:
                print(json.dumps(_object(path, found, namer)))
            elif flags.csv is None and found.broken is None:
                print(_line(path, found, namer))
        if not count:
            raise ValueError(f"None of {_files(len(broken))} can be read: {broken[0]}")
    if flags.csv not in (None, "-"):
        print(f"{flags.csv}: {_files(count)}", file=sys.stderr)
    if broken:
        print(f"{_files(len(broken))} cannot be read:", file=sys.stderr)
        for line in broken[:_NAMED]:
            print(f"  {line}", file=sys.stderr)
        if len(broken) > _NAMED:
            print(f"  and {len(broken) - _NAMED:,} more", file=sys.stderr)
    return int(bool(broken))


@contextlib.contextmanager
def _table(flags: _Predict, namer: _Namer) -> Iterator[Any]:
    """Gives what writes rows of the table, below its header; None without a table."""
    if flags.csv is None:
        yield None
    elif flags.csv == "-":
        yield _writer(sys.stdout, namer)
    else:
        with written_whole(flags.csv) as file:
            yield _writer(file, namer)


def _writer(file: TextIO, namer: _Namer) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    header = ["path"] + ["predicted"] * (namer.threshold is not None)
    for rank in range(1, namer.top + 1):
        header += [f"class_{rank}", f"probability_{rank}"]
    writer.writerow(header)
    return writer


def _row(path: str, found: FilePrediction, namer: _Namer) -> list[str]:
    row = [path]
    if namer.threshold is not None:
        row.append(namer.called(found.probabilities))
    for name, probability in namer.ranked(found.probabilities):
        row += [name, f"{probability:.6f}"]
    return row


def _object(path: str, found: FilePrediction, namer: _Namer) -> dict[str, Any]:
    if found.probabilities is None:
        return {"file": path, "error": found.broken}
    ranked = namer.ranked(found.probabilities)
    values = {"file": path, "top": [{"class": n, "probability": p} for n, p in ranked]}
    if namer.threshold is not None:
        values["predicted"] = namer.called(found.probabilities)
        values["threshold"] = namer.threshold
    return values


def _line(path: str, found: FilePrediction, namer: _Namer) -> str:
    ranked = namer.ranked(found.probabilities)
    words = ", ".join(f"{name} {100 * p:.1f} %" for name, p in ranked)
    if namer.threshold is None:
        return f"{path}: {words}"
    return f"{path}: {namer.called(found.probabilities)} ({words})"


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _printable(path: str) -> str:
    """Returns a path as text, also one whose bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
