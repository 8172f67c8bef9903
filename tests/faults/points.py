"""Points of a run at which it can be killed from inside, and what it is amid.

Every function of `POINTS` is a point when it begins and another when it has ended. A
kill at the beginning of a write first writes half of it, as a kill in the midst does.
"""

import json
import os
import signal
import threading
from typing import NamedTuple

from etils.epath.gpath import PosixGPath

import jaxcnn.checkpoint.checkpoints as saving
from jaxcnn.checkpoint import Checkpoints, folder, manifest, orbax_io
from jaxcnn.checkpoint.folder import StepFolders
from jaxcnn.data import TrainData
from jaxcnn.run import RunConfig
from jaxcnn.train import JsonLines, Loop, SaveCheckpoints
from jaxcnn.train.hooks import evaluation
from tests.faults.small_run import digest

#: What is instrumented: owner, name, and what a kill there stands for.
POINTS = (
    (SaveCheckpoints, "resume", "restoring"),
    (RunConfig, "save", "writing the configuration"),
    (TrainData, "__getitem__", "making a batch"),
    (Loop, "advance", "a step and its hooks"),
    (Loop, "read", "reading metrics"),
    (evaluation, "evaluate", "evaluating"),
    (JsonLines, "_write", "writing a record"),
    (Checkpoints, "save", "starting a save"),
    (StepFolders, "start", "making the folder of a save"),
    (orbax_io, "write", "writing arrays"),
    (StepFolders, "finish", "completing a save"),
    (saving.Checkpoints, "_prune", "deleting old checkpoints"),
    (StepFolders, "delete", "deleting a checkpoint"),
    (folder, "write_manifest", "writing checksums"),
    (manifest, "_checksum", "reading a file for its checksum"),
    (PosixGPath, "write_text", "writing a file"),
    (PosixGPath, "rename", "renaming"),
    (PosixGPath, "replace", "replacing"),
    (PosixGPath, "rmtree", "deleting a folder"),
)
_MIDST = ("", *(what for _, _, what in POINTS))


class At(NamedTuple):
    """A kill at the `count`-th time that the points named `what` are passed."""

    what: str | None
    count: int


def midst(board):
    """Returns what the killed was in, in its main thread and in that of the saves."""
    return _MIDST[board.main], _MIDST[board.saver]


def die():
    """Kills this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def instrument(board, log, at=None, act=die):
    """Makes this process note where it is, and kill itself at a point.

    Args:
        board: The shared `Board`.
        log: A file that gets a line for every checkpoint: its step and digest.
        at: The `At` to kill at, or None.
        act: What is done there.
    """
    passed = [0]

    def due(what):
        board.points += 1
        if at is None or at.what not in (None, what):
            return False
        passed[0] += 1
        return passed[0] == at.count

    for index, (owner, name, what) in enumerate(POINTS):
        setattr(owner, name, _wrapped(owner, name, index + 1, what, board, due, act))
    _note_progress(board)
    _note_saves(log)


def _wrapped(owner, name, index, what, board, due, act):
    plain = getattr(owner, name)

    def function(*args, **options):
        field = _field()
        before = getattr(board, field) if field else 0
        if field:
            setattr(board, field, index)
        if due(what):
            if act is die:
                _tear(name, args)
            act()
        result = plain(*args, **options)
        if due(what):
            act()
        if field:
            setattr(board, field, before)
        return result

    return function


def _field():
    """Returns the field of the board that is this thread's, or None."""
    if threading.current_thread() is threading.main_thread():
        return "main"
    return "saver" if threading.current_thread().name.startswith("checkpoint") else None


def _tear(name, args):
    """Does half of what the function would have done."""
    if name == "write_text":
        with open(args[0], "w") as file:
            file.write(args[1][: len(args[1]) // 2])
    elif name == "_write":
        line = json.dumps(args[1])
        args[0]._file.write(line[: len(line) // 2])
        args[0]._file.flush()
    elif name == "rmtree" and (args[0] / "step.json").exists():
        (args[0] / "step.json").unlink()


def _note_progress(board):
    advance, finish = Loop.advance, StepFolders.finish

    def noted_advance(self, *args):
        board.step = self.step + 1
        return advance(self, *args)

    def noted_finish(self, step, record):
        finish(self, step, record)
        board.saved = step

    Loop.advance, StepFolders.finish = noted_advance, noted_finish


def _note_saves(log):
    save = Checkpoints.save

    def noted(self, step, state, *, metrics=None, info=None, **options):
        line = f"{step} {digest(step, state, info, metrics)}\n"
        started = save(self, step, state, metrics=metrics, info=info, **options)
        if started:
            with open(log, "a") as file:
                file.write(line)
        return started

    Checkpoints.save = noted


def read_saves(log):
    """Returns the digest of every save by step; of several, a set."""
    found = {}
    if log.exists():
        for line in log.read_text().splitlines():
            step, _, value = line.partition(" ")
            if len(value) == 64:  # else the last line, cut short by a kill
                found.setdefault(int(step), set()).add(value)
    return found
