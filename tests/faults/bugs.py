"""Bugs to plant: a harness that does not find each of them is worth nothing."""

import contextlib
import importlib
import json

import jax
import pytest

from jaxcnn.checkpoint import Checkpoints, folder
from jaxcnn.checkpoint.folder import StepFolders
from jaxcnn.lock import RunLock
from jaxcnn.train import JsonLines, Loop, SaveCheckpoints, StopOnSignal

#: The module; `jaxcnn.train.fit` is the function in it.
fitting = importlib.import_module("jaxcnn.train.fit")


def _shuffle_restarts(patch):
    plain = fitting.prefetch

    def from_the_first(data, start, stop, **options):
        for k, batch in plain(data, 0, stop - start, **options):
            yield k + start, batch

    patch.setattr(fitting, "prefetch", from_the_first)


def _resume_without(field):
    """Returns a bug that leaves a part of the state as a new run has it."""

    def bug(patch):
        plain = SaveCheckpoints.resume

        def resume(self, state):
            return plain(self, state).replace(**{field: getattr(state, field)})

        patch.setattr(SaveCheckpoints, "resume", resume)

    return bug


def _another_key(patch):
    plain = SaveCheckpoints.resume

    def resume(self, state):
        return plain(self, state).replace(rng=jax.random.key(123))

    patch.setattr(SaveCheckpoints, "resume", resume)


def _hooks_forget(patch):
    patch.setattr(Loop, "load_values", lambda self, values: None)


def _records_doubled(patch):
    plain = JsonLines._write

    def write(self, values):
        if "start" not in values:
            plain(self, values)

    patch.setattr(JsonLines, "_write", write)


def _saves_in_place(patch):
    """Writes a checkpoint under its final name."""
    plain = StepFolders.path
    patch.setattr(
        StepFolders,
        "path",
        lambda self, step, suffix="": plain(self, step, suffix.replace(".saving", "")),
    )

    def finish(self, step, record):
        record = {"format": 1, "step": step, **record}
        (self.path(step) / "step.json").write_text(json.dumps(record))
        folder.write_manifest(self.path(step))
        self._records[step] = record

    patch.setattr(StepFolders, "finish", finish)


def _prune_takes_the_newest(patch):
    patch.setattr(
        Checkpoints, "_prune", lambda self, newest: self._folders.delete(newest)
    )


def _no_checksums(patch):
    patch.setattr(folder, "find_damage", lambda path: None)


def _damaged_ones_pass(patch):
    plain = StepFolders.verify

    def verify(self, step):
        if not plain(self, step):
            self._damage.pop(step)
            earlier = max(s for s in self.on_disk() if s < step)
            plain(self, earlier)
            self._records[step] = self._records[earlier]
        return True

    patch.setattr(StepFolders, "verify", verify)


def _no_lock(patch):
    patch.setattr(RunLock, "_acquire", lambda self: None)


def _signals_are_forgotten(patch):
    patch.setattr(StopOnSignal, "_receive", lambda self, number, frame: None)


#: Bugs of going on, which show in what a resumed run makes.
OF_RESUMING = {
    "shuffle not resumed": _shuffle_restarts,
    "optimizer state not restored": _resume_without("opt_state"),
    "batch statistics not restored": _resume_without("model_state"),
    "random key not restored": _another_key,
    "hook state lost": _hooks_forget,
    "records doubled": _records_doubled,
}
#: Bugs of saving, which show after a kill.
OF_SAVING = {
    "save not atomic": _saves_in_place,
    "the newest is deleted with the old": _prune_takes_the_newest,
}
#: Bugs of reading, which show when files are damaged.
OF_READING = {
    "checksums off": _no_checksums,
    "a damaged one is taken": _damaged_ones_pass,
}
#: Bugs of a run among others.
OF_ITS_PLACE = {
    "no lock": _no_lock,
    "signals forgotten": _signals_are_forgotten,
}
BUGS = OF_RESUMING | OF_SAVING | OF_READING | OF_ITS_PLACE


@contextlib.contextmanager
def plant(bug):
    """Plants the bug of that name, or none, in this process while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        if bug is not None:
            BUGS[bug](patch)
        yield
