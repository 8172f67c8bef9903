"""A small run as a program of its own, which kills itself where it is told to.

    python -m tests.integration.training RUN [WHERE]

A CNN with dropout, batch norm, augmentation, a schedule and early stopping's counters
on 300 digits: all that a resume has to carry. WHERE is `step:7` (right after that step
was dispatched), `saving:8` (the files are written, the checkpoint not complete),
`writing:8` (before its first file), `deleting:2` (an old checkpoint half deleted), or
`term:7` (a SIGTERM to itself, which ends the run in good order).
"""

import os
import signal
import sys

from jaxcnn.checkpoint.folder import StepFolders
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    training,
)
from jaxcnn.train import Hook


def config(directory, steps=30):
    return ExperimentConfig(
        name="killed",
        run=str(directory),
        model=ModelConfig(
            "cnn", args={"features": [4, 8], "norm": "batch", "dropout": 0.3}
        ),
        data=DataConfig(
            "digits",
            split="train[:300]",
            test_split="test[:50]",
            validation=0.2,
            batch_size=32,
            eval_batch_size=64,
            augment=("random_shift(max_pixels=1)",),
        ),
        optimizer=OptimizerConfig("adam", 2e-3, schedule="cosine"),
        steps=steps,
        eval_every=5,
        save_every=2,
        log_every=3,
        patience=50,
    )


class KillAt(Hook):
    def __init__(self, step, number=signal.SIGKILL):
        self.step = step
        self.number = number

    def on_step(self, loop):
        if loop.step == self.step:
            kill(self.number)


def kill(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def kill_inside(method, step):
    """Makes a method of the checkpoint folder kill the process at a step."""
    plain = getattr(StepFolders, method)

    def killing(self, at, *args):
        if at == step:
            if method == "delete":
                doomed = self.path(at, ".deleting")
                self.path(at).rename(doomed)
                (doomed / "step.json").unlink()
            kill()
        return plain(self, at, *args)

    setattr(StepFolders, method, killing)


METHODS = {"writing": "start", "saving": "finish", "deleting": "delete"}


def main(directory, where=""):
    kind, _, step = where.partition(":")
    hooks = training._hooks
    if kind == "step":
        training._hooks = lambda *args: [*hooks(*args), KillAt(int(step))]
    elif kind == "term":
        # First, as a signal may come before any other hook is called.
        at = KillAt(int(step), signal.SIGTERM)
        training._hooks = lambda *args: [at, *hooks(*args)]
    elif kind:
        kill_inside(METHODS[kind], int(step))
    training.train(config(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
