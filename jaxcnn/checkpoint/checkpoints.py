"""Checkpoints: save, find the latest or the best good one, restore anywhere."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Self

import jax
from etils import epath

from jaxcnn.checkpoint import leaves, orbax_io, processes
from jaxcnn.checkpoint.folder import Record, StepFolders, logger
from jaxcnn.tree import nearest
from jaxcnn.typing import PyTree

#: How long one of several processes that fails waits for a running save.
_PATIENCE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint in memory.

    Attributes:
        step: The step it was saved at.
        state: The tree of values.
        info: The small JSON that was saved with it.
        metrics: The metrics that were saved with it.
    """

    step: int
    state: PyTree
    info: dict[str, Any]
    metrics: dict[str, float]


class Checkpoints:
    """Checkpoints of any tree of arrays in one folder.

    A checkpoint is written in the background and counts once it is complete: a process
    killed at any moment leaves the earlier ones intact. Checksums of all files are
    verified before a checkpoint is used; a damaged one is reported to the log
    (`"jaxcnn"`) and the next good one is taken. The newest `keep` and the best
    `keep_best` are kept; what is older than the newest and neither is deleted, and so
    are damaged ones.

    One process writes to a folder at a time (see `jaxcnn.lock`); any number may read.
    In a run of several processes, all call every method and property, on a folder that
    all of them see; process 0 writes what is written once.

    Leave the context, or call `close`, before the program ends: a save that nobody
    waits for may be lost, as if the process had been killed, and its errors are.

    Args:
        directory: The folder, local or remote (`gs://...`); made on the first save.
        best: The metric that tells which checkpoints are the best.
        mode: Whether `"max"` or `"min"` of it is best.
        keep: How many of the newest are kept, 1 or more. With 2 there is one to fall
            back on when the newest is damaged.
        keep_best: How many of the best are kept, 0 or more.

    Raises:
        ValueError: if an argument is out of range, or the folder holds other things.
        OSError: if the folder is a file or cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> with Checkpoints(folder, best="accuracy") as checkpoints:
        ...     for step, accuracy in [(100, 0.9), (200, 0.8)]:
        ...         state = {"weights": np.full(3, step)}
        ...         _ = checkpoints.save(step, state, metrics={"accuracy": accuracy})
        ...     checkpoints.latest_step, checkpoints.best_step
        (200, 100)
        >>> Checkpoints(folder).restore({"weights": np.zeros(3, int)}).state
        {'weights': array([200, 200, 200])}
    """

    def __init__(
        self,
        directory: epath.PathLike,
        *,
        best: str | None = None,
        mode: Literal["max", "min"] = "max",
        keep: int = 2,
        keep_best: int = 1,
    ):
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', not {mode!r}.")
        if keep < 1:
            raise ValueError(f"keep must be 1 or more, not {keep}.")
        if keep_best < 0:
            raise ValueError(f"keep_best must be 0 or more, not {keep_best}.")
        # Orbax takes absolute paths alone.
        self.directory = epath.Path(directory).absolute()
        self._best, self._mode = best, mode
        self._keep, self._keep_best = keep, keep_best
        self._folders = StepFolders(self.directory)
        self._pending: concurrent.futures.Future[None] | None = None
        self._current: int | None = None  # the step last saved or restored here

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None or jax.process_count() == 1:
            self.close()
        elif self._pending and not issubclass(kind, jax.errors.JaxRuntimeError):
            # The others do not know of the error: agree on nothing. (An error of JAX
            # says as a rule that they are gone, and the save waits for them in vain.)
            concurrent.futures.wait([self._pending], timeout=_PATIENCE_SECONDS)

    @property
    def steps(self) -> list[int]:
        """All good steps, in order; files are verified once per step."""
        self.wait()
        return list(self._folders.good())

    @property
    def damaged(self) -> dict[int, str]:
        """The damaged steps and what is wrong with them."""
        self.wait()
        return self._folders.damaged()

    @property
    def latest_step(self) -> int | None:
        """The newest good step."""
        return max(self.steps, default=None)

    @property
    def best_step(self) -> int | None:
        """The good step with the best metric, the earlier of equals.

        None without the argument `best` or if no good step has that metric.
        """
        self.wait()
        return next(iter(self._ranked()), None)

    def metrics(self, step: int) -> dict[str, float]:
        """Returns the metrics saved with a good step.

        Raises:
            ValueError: if there is no such step.
        """
        if step not in self.steps:
            raise ValueError(f"{self._no_step(step)}.")
        return dict(self._folders.good()[step]["metrics"])

    def save(
        self,
        step: int,
        state: PyTree,
        *,
        metrics: Mapping[str, float] | None = None,
        info: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> bool:
        """Starts to save a step; waits first for the save before it.

        The values are safe when this returns: the state may be donated to the next
        step. Steps must grow. Saving the step again that was last saved or restored
        here does nothing: its state is the one on disk.

        Args:
            step: The number of the step, 0 or more.
            state: A tree of arrays (JAX, NumPy; typed random keys) and Python numbers.
            metrics: Numbers by name, among them `best` if that is set. Without them
                the step does not compete for the best.
            info: Anything small that JSON can hold.
            replace: Whether the step that was last saved or restored here is saved
                again, in the place of what is on disk.

        Returns:
            Whether a save was started.

        Raises:
            ValueError: if an argument does not fit or a later step is saved already.
            OSError: if it cannot be saved, or the save before it could not: the
                message names the folder and the cause. Checkpoints on disk survive.
        """
        self.wait()
        step = operator.index(step)
        if step == self._current and not replace:
            return False
        if step != self._current:
            self._check_step(step)
        table, arrays = leaves.pack(state)
        record = {
            "metrics": self._check_metrics(metrics),
            "info": _check_info(info),
            "leaves": table,
        }
        with self._explained(step):
            processes.from_primary(lambda: str(self._folders.start(step)))
            finish = self._write(step, arrays)
        background = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending = background.submit(self._finish, step, record, finish)
        background.shutdown(wait=False)  # the thread ends with this save
        self._current = step
        return True

    def wait(self) -> None:
        """Waits until the running save, if any, is complete.

        Raises:
            OSError: if it failed.
        """
        if self._pending is None:
            return
        error = self._pending.exception()
        self._pending = None
        failed = processes.any_process(error is not None)
        if failed:
            self._current = None
        if error is not None:
            raise error
        if failed:
            raise OSError(f"Another process could not save to {self.directory}.")

    def close(self) -> None:
        """Does what `wait` does; leaving the context calls it."""
        self.wait()

    def restore(
        self,
        target: PyTree | None = None,
        step: int | Literal["latest", "best"] = "latest",
        *,
        partial: bool = False,
    ) -> Restored:
        """Reads a checkpoint after verifying its checksums.

        Args:
            target: A tree of arrays or of `jax.ShapeDtypeStruct`, whose values do not
                matter: the same type of tree comes back, each leaf placed as the
                target's sharding says, else on the default device. The number of
                devices that saved it does not matter. None gives nested dictionaries of
                NumPy arrays, whatever was saved.
            step: The newest good one, the best good one, or a number.
            partial: Whether the target may be a part of what was saved, such as
                `{"params": ...}` of a whole training state.

        Raises:
            ValueError: if there is no such checkpoint, if it is damaged, or if names,
                shapes or dtypes differ from the target's, with both sides listed.
        """
        self.wait()
        while True:
            chosen = processes.from_primary(functools.partial(self._choose, step))
            try:
                return self._read(chosen, target, partial)
            except Exception:
                # Where another process trains, it may be deleted while we read.
                if jax.process_count() > 1 or self._folders.path(chosen).exists():
                    raise

    def _read(self, chosen: int, target: PyTree | None, partial: bool) -> Restored:
        folder = self._folders.path(chosen)
        record = self._folders.record(chosen)
        state = leaves.unpack(
            record["leaves"],
            target,
            functools.partial(orbax_io.read, folder / "arrays"),
            partial=partial,
            source=f"The checkpoint {folder}",
        )
        self._current = chosen
        return Restored(chosen, state, record["info"], record["metrics"])

    def _check_step(self, step: int) -> None:
        if step < 0:
            raise ValueError(f"step must be 0 or more, not {step}.")
        newest = self.latest_step
        if newest is not None and step <= newest:
            raise ValueError(
                f"Step {step} cannot be saved: {self.directory} holds step {newest}. "
                "Restore that and go on from it, or use a new folder."
            )

    def _check_metrics(self, metrics: Mapping[str, float] | None) -> dict[str, float]:
        if metrics is None:
            return {}
        if self._best is not None and self._best not in metrics:
            raise ValueError(
                f"The best checkpoint is told by the metric {self._best!r}, but the "
                f"metrics are {sorted(metrics)}.{nearest(self._best, metrics)}"
            )
        return {name: float(value) for name, value in metrics.items()}

    def _write(self, step: int, arrays: dict[str, Any]) -> Callable[[], None]:
        """Returns a function that waits for the arrays to be on disk."""
        if not arrays:
            return lambda: None
        return orbax_io.write(self._folders.path(step, ".saving") / "arrays", arrays)

    def _finish(
        self, step: int, record: Record, finish_arrays: Callable[[], None]
    ) -> None:
        """Runs in the background: completes a step, then deletes what is not kept."""
        with self._explained(step):
            finish_arrays()
            if processes.is_primary():
                self._folders.finish(step, record)
        if processes.is_primary():
            self._prune(step)

    def _prune(self, newest: int) -> None:
        """Deletes what is older than the newest and not kept."""
        good = list(self._folders.good())
        kept = {*good[-self._keep :], *self._ranked()[: self._keep_best]}
        for step in self._folders.on_disk():
            if step < newest and step not in kept:
                try:
                    self._folders.delete(step)
                except OSError as error:  # the new one is complete all the same
                    logger.warning("Step %d could not be deleted: %s.", step, error)

    @contextlib.contextmanager
    def _explained(self, step: int) -> Iterator[None]:
        """Tidies up after a save that fails, and says what the file system said."""
        try:
            yield
        except Exception as error:
            if processes.is_primary():
                with contextlib.suppress(OSError):  # then the next save does it
                    self._folders.abandon(step)
            cause = orbax_io.os_error(error)
            if cause is None:
                raise
            earlier = max(self._folders.good(), default=None)
            raise OSError(
                f"Step {step} could not be saved to {self.directory}: "
                f"{cause.strerror or cause}."
                + (
                    ""
                    if earlier is None
                    else f" The checkpoint of step {earlier} is intact."
                )
            ) from error

    def _ranked(self) -> list[int]:
        """Returns the good steps with the metric: best first, then earlier first."""
        sign = -1 if self._mode == "max" else 1
        scores = {
            step: sign * record["metrics"].get(self._best, math.nan)
            for step, record in self._folders.good().items()
        }
        steps = [step for step, score in scores.items() if not math.isnan(score)]
        return sorted(steps, key=scores.__getitem__)

    def _choose(self, step: int | str) -> int:
        """Returns the number of a step after verifying it."""
        if not isinstance(step, str):
            return self._choose_number(operator.index(step))
        if step not in ("latest", "best"):
            raise ValueError(
                f"step must be 'latest', 'best' or a number, not {step!r}."
                f"{nearest(step, ['latest', 'best'])}"
            )
        if step == "best" and self._best is None:
            raise ValueError(
                "Which checkpoint is the best is not known: name the metric, as in "
                f"Checkpoints({str(self.directory)!r}, best='accuracy')."
            )
        before = None
        while before != (before := self._folders.on_disk()):
            good = list(self._folders.good())[::-1]
            for candidate in self._ranked() if step == "best" else good:
                if self._folders.verify(candidate):
                    return candidate
        kind = f" with the metric {self._best!r}" if step == "best" else ""
        where = f"{self.directory}{self._all_damage()}"
        raise ValueError(f"There is no good checkpoint{kind} in {where}.")

    def _choose_number(self, step: int) -> int:
        if step not in self._folders.on_disk():
            raise ValueError(f"{self._no_step(step)}.")
        if not self._folders.verify(step):
            raise ValueError(
                f"The checkpoint {self._folders.path(step)} is damaged: "
                f"{self._folders.damaged()[step]}. "
                f"Good steps are {list(self._folders.good())}."
            )
        return step

    def _no_step(self, step: int) -> str:
        return (
            f"There is no good checkpoint of step {step} in {self.directory}; good "
            f"steps are {list(self._folders.good())}"
        )

    def _all_damage(self) -> str:
        damaged = self._folders.damaged()
        if not damaged:
            return ""
        return ": " + "; ".join(f"step {s}: {why}" for s, why in damaged.items())


def _check_info(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a copy, so that later changes do not reach the background."""
    try:
        return json.loads(json.dumps(dict(info or {})))
    except TypeError as error:
        raise ValueError(f"info must be what JSON can hold: {error}.") from error
