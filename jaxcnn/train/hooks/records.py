"""Records: made from training metrics, written as JSON lines, to TensorBoard, drawn."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from etils import epath

from jaxcnn.train.hooks.base import Hook, require_positive, writes_files
from jaxcnn.train.nonfinite import NONFINITE
from jaxcnn.train.throughput import Throughput

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop

#: What stands in the records and is no measure of the model.
_NO_CURVE = ("time", "seconds", "learning_rate")


class TrainLog(Hook):
    """Makes a record of the training metrics every `every` steps.

    The values are means over the examples since the last record. A last record covers
    what is left when the run is complete. Placed after `Evaluate`, it is made before
    the last checkpoint also where early stopping ends the run.

    With each goes a report `"speed"` of the steps since the last one in this start:
    images/s and the like, over the time of input and steps, hooks left out.

    Args:
        every: Steps between records.
        schedule: If given, `learning_rate` = `schedule(step)` of the newest update
            stands in the record.
        throughput: What is worked out from images/s.
    """

    def __init__(
        self,
        every: int = 50,
        *,
        schedule: Callable[[int], Any] | None = None,
        throughput: Throughput | None = None,
    ) -> None:
        require_positive("every", every)
        self.every = every
        self.schedule = schedule
        self.throughput = throughput or Throughput()
        self._timed = (0, 0.0)

    def on_start(self, loop: Loop) -> None:
        """Starts the measurement of the speed."""
        self._timed = (loop.step, loop.clock.training_seconds)

    def on_step(self, loop: Loop) -> None:
        """Makes the record where one is due."""
        if loop.due(self.every) or loop.complete:
            self._record(loop)

    def on_end(self, loop: Loop) -> None:
        """Makes the last record of a run that early stopping ended."""
        if loop.complete and loop.step > loop.first_step:
            self._record(loop)

    def _record(self, loop: Loop) -> None:
        values = loop.take_window()
        if not values:
            return
        if self.schedule is not None:
            values["learning_rate"] = float(self.schedule(loop.step - 1))
        values["seconds"] = time.monotonic() - loop.started
        loop.record("train", values)
        (step, seconds), now = self._timed, loop.clock.training_seconds
        if loop.step > step and now > seconds:
            rate = (loop.step - step) * loop.batch_size / (now - seconds)
            loop.report("speed", self.throughput.values(rate, loop.devices))
        self._timed = (loop.step, now)


class JsonLines(Hook):
    """Writes every record as a line of JSON, one file a start.

    The files `00000.jsonl`, `00001.jsonl`, ... are read as one by `read_metrics`. They
    hold the reports of each start, too, for `read_reports`. Object stores cannot
    append, so a start never touches the file of another.

    Args:
        directory: Where the files go, made if missing; any path that epath knows.
    """

    def __init__(self, directory: epath.PathLike) -> None:
        self.directory = epath.Path(directory)
        self._file: Any = None
        self._first: dict[str, Any] | None = None
        self._loop: Loop | None = None
        self._newest = (-1, 0)  # step, and how many records were made at it

    def on_start(self, loop: Loop) -> None:
        """Opens this start's file, whose first line says at which step it begins."""
        self._loop, self._newest = loop, (loop.step, 0)
        if not writes_files():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for path in _files(self.directory)]
        number = max(numbers, default=-1) + 1
        self._file = (self.directory / f"{number:05d}.jsonl").open("w")
        self._first = {"start": loop.step, "time": time.time()}

    def on_step(self, loop: Loop) -> None:
        """Writes the first line, if no record of this step has."""
        self._begin()

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Writes the record, at once, so that a kill loses none."""
        self._begin()
        step, count = self._newest
        self._newest = (record["step"], count + 1 if record["step"] == step else 1)
        if self._file is not None:
            self._write({**record, "time": time.time()})

    def on_report(self, loop: Loop, name: str, values: dict[str, float]) -> None:
        """Writes the report, which is no record of the run's history."""
        self._begin()
        if self._file is not None:
            self._write({"report": name, "step": loop.step, "values": values})

    def state_dict(self) -> dict[str, Any]:
        """Returns how many records there are of a step that is half done."""
        loop = self._loop
        if loop is None or loop.owed is None:
            return {}
        step, count = self._newest
        return {"made": count if step == loop.step else 0}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Drops the records of the step that are to be made again."""
        if self._first is not None:
            self._first["made"] = values["made"]
        self._newest = (self._newest[0], values["made"])

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            with self._file:
                self._begin()
            self._file = None

    def _begin(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            self._write(first)

    def _write(self, values: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        except OSError as error:
            raise OSError(
                f"The records cannot be written to {self.directory}: "
                f"{error.strerror or error}."
            ) from error


def read_metrics(directory: epath.PathLike) -> list[dict[str, Any]]:
    """Returns the records of all starts of a run as if it had never stopped.

    What a start wrote past the step from which the next one resumed is dropped: the
    next one made those steps again. So is a last line that a kill cut short. Another
    line that is damaged is left out, and reported to the log (`"jaxcnn"`).

    Args:
        directory: The folder that `JsonLines` wrote; a missing one has no records.
    """
    records: list[dict[str, Any]] = []
    for path in _files(epath.Path(directory)):
        for values in _lines(path):
            if "start" in values:
                records = _kept(records, values["start"], values.get("made"))
            elif "report" not in values:
                records.append(values)
    return records


def read_reports(directory: epath.PathLike) -> list[dict[str, Any]]:
    """Returns what the starts of a run reported of themselves, in order.

    Such as `{"start": 0, "report": "compile", "step": 0, "values": {...}}`: the step at
    which the start began, the kind, the step at which it was reported, and the numbers.
    Kinds are `"compile"` (see `compile_ahead`), `"speed"` (see `TrainLog`) and
    `"time"` (see `Clock.seconds`).

    Args:
        directory: The folder that `JsonLines` wrote; a missing one has none.
    """
    reports: list[dict[str, Any]] = []
    start = 0
    for path in _files(epath.Path(directory)):
        for values in _lines(path):
            start = values.get("start", start)
            if "report" in values:
                reports.append({"start": start, **values})
    return reports


def _kept(
    records: list[dict[str, Any]], start: int, made: int | None
) -> list[dict[str, Any]]:
    """Returns the records up to a step; of one that was half done the first `made`."""
    before = [record for record in records if record["step"] < start]
    return before + [r for r in records if r["step"] == start][:made]


def _lines(path: epath.Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a file that are whole; a damaged one is reported."""
    lines = path.read_bytes().decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            whole = isinstance(values.get("start", values.get("step")), int)
        except (ValueError, AttributeError):
            whole = False
        if whole:
            yield values
        elif number < len(lines):  # the last may have been cut short by a kill
            logging.getLogger("jaxcnn").warning(
                "Line %d of %s is damaged and left out.", number, path
            )


class TensorBoard(Hook):
    """Writes every record as scalars `split/name` for TensorBoard.

    Args:
        directory: Where the event files go.

    Raises:
        ValueError: if tensorboardX is not installed (the extra `tensorboard`).
    """

    def __init__(self, directory: epath.PathLike) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise ValueError(
                "TensorBoard logs need tensorboardX: pip install 'jaxcnn[tensorboard]'."
            ) from None
        self._open = tensorboardX.SummaryWriter
        self.directory = directory
        self._writer = None

    def on_start(self, loop: Loop) -> None:
        """Opens this start's file; what an earlier one wrote past it is dropped."""
        if writes_files():
            self._writer = self._open(str(self.directory), purge_step=loop.step + 1)

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Writes the numbers of the record."""
        if self._writer is None:
            return
        for name, value in record.items():
            numeric = isinstance(value, int | float)
            if numeric and name not in ("step", "epoch", "split", "seconds"):
                self._writer.add_scalar(
                    f"{record['split']}/{name}", value, global_step=record["step"]
                )

    def on_report(self, loop: Loop, name: str, values: dict[str, float]) -> None:
        """Writes the numbers of the report."""
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{name}/{key}", value, global_step=loop.step)

    def close(self) -> None:
        """Writes out what is left."""
        if self._writer is not None:
            self._writer.close()


class DrawCurves(Hook):
    """Draws the learning curves of the whole run when this start ends.

    Args:
        path: The picture to write, such as `run/curves.png`.
        directory: The folder that `JsonLines` writes.
        title: Stands above the picture.
    """

    def __init__(
        self, path: epath.PathLike, directory: epath.PathLike, title: str | None = None
    ) -> None:
        self.path = epath.Path(path)
        self.directory = epath.Path(directory)
        self.title = title

    def on_end(self, loop: Loop) -> None:
        """Draws what there is."""
        from jaxcnn.plotting import learning_curves

        records = [
            {name: value for name, value in record.items() if name not in _NO_CURVE}
            for record in read_metrics(self.directory)
            if record["split"] != NONFINITE
        ]
        if writes_files() and records:
            learning_curves(self.path, records, title=self.title)


def _files(directory: epath.Path) -> list[epath.Path]:
    if not directory.exists():
        return []
    return sorted(p for p in directory.glob("*.jsonl") if p.stem.isdecimal())
