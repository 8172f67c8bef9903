"""A signal amid an evaluation: it leaves off, and the next start makes up for it."""

import os
import signal

import jax
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import (
    EarlyStopping,
    Evaluate,
    JsonLines,
    SaveCheckpoints,
    StopOnSignal,
    TrainLog,
    classification,
    evaluate,
    fit,
    init_state,
    make_eval_step,
    make_train_step,
    parallelize,
    read_metrics,
)
from jaxcnn.train.task import Mean

TX = optax.adam(1e-2)


@pytest.fixture(scope="module")
def step():
    model = nets.ConvNet(dropout=0.5)
    return parallelize(make_train_step(model, TX, classification()))


@pytest.fixture(scope="module")
def eval_step():
    return parallelize(make_eval_step(nets.ConvNet(dropout=0.5), classification()))


def start():
    return init_state(nets.ConvNet(0.5), TX, jax.random.key(0), nets.EXAMPLE)


class Split:
    """Three batches; a signal comes with the second of the passes that are told."""

    def __init__(self, passes=()):
        self.passes, self.count, self.given = passes, 0, 0

    def __iter__(self):
        self.count += 1
        for k in range(3):
            if k == 1 and self.count in self.passes:
                os.kill(os.getpid(), signal.SIGTERM)
            self.given += 1
            yield nets.batch_of(50 + k)


def run(directory, step, eval_step, split, num_steps=7):
    """Evaluates after steps 3 and 6 and at the end; records of each step's training."""
    folder = directory / "checkpoints"
    with Checkpoints(folder, best="loss", mode="min") as checkpoints:
        saver = SaveCheckpoints(checkpoints, every=2)
        hooks = [
            StopOnSignal(),
            JsonLines(directory / "metrics"),
            TrainLog(2),  # some records of a step come before its evaluation,
            Evaluate(eval_step, split, every=3),
            TrainLog(1),  # some after it
            saver,
            EarlyStopping("loss", patience=9, checkpoints=checkpoints),
        ]
        state = saver.resume(start())
        return fit(state, step, nets.Batches(), num_steps=num_steps, hooks=hooks)


def left(directory):
    checkpoints = Checkpoints(directory / "checkpoints", best="loss", mode="min")
    restored = checkpoints.restore()
    records = [
        {k: v for k, v in record.items() if k not in ("time", "seconds")}
        for record in read_metrics(directory / "metrics")
    ]
    found = [(s, checkpoints.metrics(s)) for s in checkpoints.steps]
    return records, found, checkpoints.best_step, restored.info


@pytest.mark.thorough
@pytest.mark.parametrize("passes", [(1,), (2, 3), (3,), (1, 2, 4, 5, 6)])
def test_interrupted_evaluations_leave_no_trace(step, eval_step, tmp_path, passes):
    whole = run(tmp_path / "whole", step, eval_step, Split())
    split = Split(passes)
    for _ in range(len(passes)):
        run(tmp_path / "run", step, eval_step, split)
        steps = Checkpoints(tmp_path / "run" / "checkpoints").steps
        assert steps[-1] in (3, 6, 7)
    resumed = run(tmp_path / "run", step, eval_step, split)
    assert split.given == 3 * split.count - len(passes)  # each left off at once
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, two = jax.random.key_data(one), jax.random.key_data(two)
        np.testing.assert_array_equal(one, two)
    assert left(tmp_path / "run") == left(tmp_path / "whole")


def test_records_of_a_step_half_done_are_not_doubled_by_a_kill(tmp_path):
    """Killed after they were made up for, before the checkpoint was replaced."""
    lines = [
        ['{"start": 0}', '{"step": 3, "split": "a"}'],
        ['{"start": 3, "made": 1}', '{"step": 3, "split": "b"}'],
        ['{"start": 3, "made": 1}', '{"step": 3, "split": "b"}', '{"step": 4}'],
    ]
    for number, written in enumerate(lines):
        (tmp_path / f"{number:05d}.jsonl").write_text("\n".join(written) + "\n")
    assert [r.get("split") for r in read_metrics(tmp_path)] == ["a", "b", None]


def test_damaged_lines_of_records_are_left_out_and_reported(tmp_path, caplog):
    good = '{"step": 3, "split": "a"}'
    lines = ['{"start": 0}', good, '{"step": "4"}', "[]", "\ufffd", good, '{"st']
    (tmp_path / "00000.jsonl").write_bytes(
        "\n".join(lines).replace("\ufffd", "{").encode() + b"\xff"
    )
    assert len(read_metrics(tmp_path)) == 2
    path = tmp_path / "00000.jsonl"
    assert [r.getMessage() for r in caplog.records] == [
        f"Line {number} of {path} is damaged and left out." for number in (3, 4, 5)
    ]


def test_records_on_a_full_disk_name_their_folder(tmp_path, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    lines = JsonLines(tmp_path)
    lines._file = Full()
    with pytest.raises(OSError, match=f"written to {tmp_path}: No space left"):
        lines.on_record(None, {"step": 1})


def test_an_evaluation_does_not_run_far_ahead(monkeypatch):
    """What leaves off would have to wait for all that is on its way."""
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)

    def measure(state, batch):
        return {"loss": Mean(total=np.float32(batch), count=np.float32(1))}

    assert evaluate(measure, None, range(10)) == {"loss": 4.5}
    assert [float(metrics["loss"].total) for metrics in waited] == [0, 1, 2, 3, 4, 5]
