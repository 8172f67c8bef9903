import io
import json
import os
import signal
import subprocess
import sys
import textwrap

import jax
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import (
    DrawCurves,
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    NonFiniteError,
    Progress,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
    TimeLimit,
    TrainLog,
    classification,
    fit,
    init_state,
    make_eval_step,
    make_train_step,
    parallelize,
    read_metrics,
)

TX = optax.sgd(0.1, momentum=0.9)
MODEL = nets.Linear(3)


@pytest.fixture(scope="module")
def step():
    return parallelize(make_train_step(MODEL, TX, classification()), donate=False)


@pytest.fixture(scope="module")
def eval_step():
    return parallelize(make_eval_step(MODEL, classification()))


def start():
    return init_state(MODEL, TX, jax.random.key(0), nets.EXAMPLE)


class Records(Hook):
    def __init__(self):
        self.records = []

    def on_record(self, loop, record):
        self.records.append(record)


class Scores(Hook):
    """Makes validation records of given losses, one a step."""

    def __init__(self, losses):
        self.losses = losses

    def on_step(self, loop):
        loop.record("validation", {"loss": self.losses[loop.step - 1]})


def test_the_train_log_records_every_n_steps_and_what_is_left(step):
    records = Records()
    hooks = [TrainLog(4, schedule=lambda step: 0.5 * step), records]
    fit(start(), step, nets.Batches(), num_steps=10, hooks=hooks)
    assert [r["step"] for r in records.records] == [4, 8, 10]
    assert [r["epoch"] for r in records.records] == [0.4, 0.8, 1.0]
    assert [r["learning_rate"] for r in records.records] == [1.5, 3.5, 4.5]
    assert {"loss", "accuracy", "seconds", "split"} <= set(records.records[0])


def test_evaluation_every_n_steps_and_at_the_end(step, eval_step):
    records = Records()
    hooks = [Evaluate(eval_step, [nets.batch_of(0)], every=3), records]
    fit(start(), step, nets.Batches(), num_steps=7, hooks=hooks)
    assert [r["step"] for r in records.records] == [3, 6, 7]
    assert all(r["split"] == "validation" for r in records.records)


def test_json_lines_of_several_starts_read_as_one(step, tmp_path):
    state = start()
    for stop in (6, 10):
        hooks = [JsonLines(tmp_path), TrainLog(2)]
        state = fit(state, step, nets.Batches(), num_steps=stop, hooks=hooks)
    assert len(list(tmp_path.iterdir())) == 2
    assert [r["step"] for r in read_metrics(tmp_path)] == [2, 4, 6, 8, 10]


def test_lines_past_the_resumed_step_and_cut_lines_are_dropped(tmp_path):
    lines = [{"start": 0}, {"step": 2, "loss": 1.0}, {"step": 4, "loss": 0.5}]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 6, "lo'
    (tmp_path / "00000.jsonl").write_text(text)
    lines = [{"start": 2}, {"step": 4, "loss": 0.25}]
    (tmp_path / "00001.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_metrics(tmp_path) == [
        {"step": 2, "loss": 1.0},
        {"step": 4, "loss": 0.25},
    ]
    assert read_metrics(tmp_path / "nowhere") == []


def test_early_stopping_waits_for_its_patience_and_restores_the_best(step):
    seen = {}

    class Keep(Hook):
        def on_step(self, loop):
            seen[loop.step] = jax.device_get(loop.state.params)

    hook = EarlyStopping("loss", patience=2, min_delta=0.1)
    hooks = [Keep(), Scores([5.0, 3.0, 2.95, 2.94, 1.0]), hook]
    state = fit(start(), step, nets.Batches(), num_steps=5, hooks=hooks)
    assert (hook.best_step, state.step) == (2, 4)
    np.testing.assert_array_equal(
        state.params["head"]["kernel"], seen[2]["head"]["kernel"]
    )


def test_early_stopping_goes_on_where_it_stopped(step):
    """Patience counts over a resume: two bad values before it, one after."""
    losses = [1.0, 2.0, 2.0, 2.0, 2.0]
    first = EarlyStopping("loss", patience=3, restore_best=False)
    state = fit(
        start(), step, nets.Batches(), num_steps=3, hooks=[Scores(losses), first]
    )
    second = EarlyStopping("loss", patience=3, restore_best=False)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    state = fit(
        state, step, nets.Batches(), num_steps=5, hooks=[Scores(losses), second]
    )
    assert state.step == 4


def test_early_stopping_takes_no_nan_for_the_best(step):
    hook = EarlyStopping("loss", patience=4, restore_best=False)
    hooks = [Scores([np.nan, 3.0, 2.0, 2.5]), hook]
    fit(start(), step, nets.Batches(), num_steps=4, hooks=hooks)
    assert (hook.best_step, hook.waited) == (3, 1)


def test_best_parameters_of_an_earlier_start_are_missed_aloud(step, caplog):
    hook = EarlyStopping("loss", patience=9)
    hook.load_state_dict({"best": -0.5, "best_step": 2, "waited": 0})
    fit(start(), step, nets.Batches(), num_steps=1, hooks=[Scores([1.0]), hook])
    assert "The best parameters, of step 2, were in the memory" in caplog.text


def test_early_stopping_on_a_metric_that_is_not_there(step):
    hooks = [Scores([1.0]), EarlyStopping("los")]
    with pytest.raises(ValueError, match=r"watches 'los'.*Did you mean 'loss'"):
        fit(start(), step, nets.Batches(), num_steps=1, hooks=hooks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(mode="up"), "mode must be 'min' or 'max', got 'up'"),
        (lambda: EarlyStopping(patience=0), "patience must be above 0, got 0"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be 0 or more, got -1"),
        (lambda: TrainLog(0), "every must be above 0, got 0"),
        (lambda: Evaluate(None, [], every=0), "every must be above 0, got 0"),
        (lambda: SaveCheckpoints(None, every=0), "every must be above 0, got 0"),
        (lambda: TimeLimit(0), "seconds must be above 0, got 0"),
        (lambda: Progress(every_seconds=0), "every_seconds must be above 0, got 0"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_time_limit_ends_the_run(step):
    class Slow(nets.Batches):
        def __getitem__(self, k):
            import time

            time.sleep(0.02)
            return super().__getitem__(k)

    state = fit(start(), step, Slow(), num_steps=500, hooks=[TimeLimit(0.2)])
    assert 0 < state.step < 400


class Signals(Hook):
    def __init__(self, number, times):
        self.number, self.times = number, times

    def on_step(self, loop):
        if loop.step == 3:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step(step, number):
    before = signal.getsignal(number)
    hooks = [Signals(number, 1), StopOnSignal()]
    state = fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks)
    assert state.step == 3
    assert signal.getsignal(number) is before


def test_a_signal_of_an_earlier_run_does_not_end_the_next(step):
    hook = StopOnSignal()
    hooks = [Signals(signal.SIGTERM, 1), hook]
    state = fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks)
    assert fit(state, step, nets.Batches(), num_steps=5, hooks=[hook]).step == 5


def test_a_second_ctrl_c_aborts(step):
    hooks = [Signals(signal.SIGINT, 2), StopOnSignal()]
    with pytest.raises(KeyboardInterrupt, match="SIGINT again"):
        fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks)


def test_sigterm_may_come_twice(step):
    """`timeout` sends it to the process and then to its group."""
    hooks = [Signals(signal.SIGTERM, 2), StopOnSignal()]
    assert fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks).step == 3


def hooks_of(directory, checkpoints, eval_step):
    saver = SaveCheckpoints(checkpoints, every=4)
    return saver, [
        JsonLines(directory / "metrics"),
        TrainLog(3),
        Evaluate(eval_step, [nets.batch_of(50)], every=5),
        saver,
        EarlyStopping("loss", patience=50, checkpoints=checkpoints, restore_best=False),
    ]


def without_times(records):
    return [
        {k: v for k, v in r.items() if k not in ("time", "seconds")} for r in records
    ]


@pytest.mark.parametrize("stop", [4, 5, 7])
def test_a_resumed_run_equals_an_unbroken_one(step, eval_step, tmp_path, stop):
    """Also its records, though it stopped amid a window of the training log."""

    def run(directory, num_steps, hooks_more=()):
        with Checkpoints(directory / "c", best="loss", mode="min") as checkpoints:
            saver, hooks = hooks_of(directory, checkpoints, eval_step)
            state = saver.resume(start())
            hooks = [*hooks[:3], *hooks_more, *hooks[3:]]
            return fit(state, step, nets.Batches(), num_steps=num_steps, hooks=hooks)

    class Stop(Hook):
        def on_step(self, loop):
            if loop.step == stop:
                loop.stop("here")

    whole = run(tmp_path / "whole", 12)
    run(tmp_path / "parts", 12, [Stop()])
    nets.assert_same(whole, run(tmp_path / "parts", 12))
    records = [
        without_times(read_metrics(tmp_path / name / "metrics"))
        for name in ("whole", "parts")
    ]
    assert records[0] == records[1]


class StopAt(Hook):
    def __init__(self, step):
        self.step = step

    def on_step(self, loop):
        if loop.step == self.step:
            loop.stop("SIGTERM")

    def on_end(self, loop):
        self.complete, self.reason = loop.complete, loop.stop_reason


def test_a_signal_at_the_last_step_comes_too_late(step, eval_step):
    records, stop = Records(), StopAt(7)
    evaluate = Evaluate(eval_step, [nets.batch_of(0)], every=5)
    hooks = [stop, evaluate, TrainLog(5), records]
    fit(start(), step, nets.Batches(), num_steps=7, hooks=hooks)
    assert (stop.complete, stop.reason) == (True, None)
    made = {(r["step"], r["split"]) for r in records.records}
    assert made >= {(7, "train"), (7, "validation")}


def test_early_stopping_comes_before_a_signal_at_the_same_step(step):
    records, stop = Records(), StopAt(2)
    early = EarlyStopping("loss", patience=1, restore_best=False)
    hooks = [stop, Scores([1.0, 2.0]), TrainLog(50), early, records]
    fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks)
    assert stop.complete
    assert stop.reason.startswith("early stopping")
    assert [r["split"] for r in records.records] == ["validation"] * 2 + ["train"]


def test_a_state_that_is_not_finite_is_not_evaluated(step, eval_step):
    class Poisoned(nets.Batches):
        def __getitem__(self, k):
            batch = super().__getitem__(k)
            return {**batch, "image": np.full((16, 6, 6, 1), np.nan, np.float32)}

    records = Records()
    hooks = [Evaluate(eval_step, [nets.batch_of(0)], every=1), records]
    with pytest.raises(NonFiniteError, match="after step 1"):
        fit(start(), step, Poisoned(), num_steps=3, hooks=hooks)
    assert [r["split"] for r in records.records] == ["nonfinite"]


def test_a_state_that_is_not_finite_is_never_saved(step, tmp_path):
    class Poisoned(nets.Batches):
        def __getitem__(self, k):
            batch = super().__getitem__(k)
            return {
                **batch,
                "image": batch["image"] * np.float32(np.nan if k == 5 else 1),
            }

    with Checkpoints(tmp_path) as checkpoints:
        hooks = [SaveCheckpoints(checkpoints, every=2)]
        with pytest.raises(NonFiniteError, match="step 6"):
            fit(start(), step, Poisoned(), num_steps=9, hooks=hooks)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 4


def test_progress_prints_plain_lines_without_a_terminal(step):
    file = io.StringIO()
    hooks = [Progress(file=file, every_seconds=1e-6), Scores([0.5] * 3)]
    fit(start(), step, nets.Batches(), num_steps=3, hooks=hooks)
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("compiled in ")
    assert lines[1].startswith("step 1/3")
    assert "images/s" in lines[1]
    assert "left" in lines[1]
    assert lines[-1].startswith("time: ")
    assert "epoch   0.10  step      1  validation: loss 0.5000" in lines


def test_progress_draws_a_bar(step):
    file = io.StringIO()
    hooks = [Progress(file=file, every_seconds=1e-6, bar=True)]
    fit(start(), step, nets.Batches(), num_steps=20, hooks=hooks)
    assert "20/20" in file.getvalue()
    assert "accuracy" in file.getvalue()


@pytest.mark.thorough
def test_tensorboard_gets_every_number(step, tmp_path):
    fit(
        start(),
        step,
        nets.Batches(),
        num_steps=4,
        hooks=[TensorBoard(tmp_path), TrainLog(2)],
    )
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    assert b"train/loss" in content
    assert b"train/accuracy" in content


def test_tensorboard_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxcnn\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_curves_are_drawn_at_the_end(step, tmp_path):
    hooks = [
        JsonLines(tmp_path / "metrics"),
        TrainLog(2),
        DrawCurves(tmp_path / "curves.png", tmp_path / "metrics", title="a run"),
    ]
    fit(start(), step, nets.Batches(), num_steps=6, hooks=hooks)
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.thorough
def test_importing_the_package_loads_nothing_heavy():
    code = textwrap.dedent("""
        import sys
        import jaxcnn
        heavy = ["tensorflow", "tensorflow_datasets", "grain", "orbax", "torch",
                 "sklearn", "matplotlib", "tyro", "tqdm", "tensorboardX", "PIL"]
        print([name for name in heavy if name in sys.modules])
    """)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
