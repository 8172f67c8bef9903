import chex
import jax
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.metrics import Mean
from jaxcnn.train import (
    Hook,
    NonFiniteError,
    classification,
    evaluate,
    fit,
    init_state,
    make_eval_step,
    make_mesh,
    make_train_step,
    parallelize,
)

TX = optax.adam(0.01)


@pytest.fixture(scope="module")
def step():
    """A compiled step with dropout, that leaves its state to the tests."""
    model = nets.ConvNet(dropout=0.3)
    return parallelize(make_train_step(model, TX, classification()), donate=False)


@pytest.fixture(scope="module")
def start():
    return init_state(nets.ConvNet(dropout=0.3), TX, jax.random.key(0), nets.EXAMPLE)


class Calls(Hook):
    """Writes down what the loop calls."""

    def __init__(self, stop_at=None):
        self.calls = []
        self.stop_at = stop_at

    def on_start(self, loop):
        self.calls.append(("start", loop.step))

    def on_step(self, loop):
        self.calls.append(("step", loop.step))
        if loop.step == self.stop_at:
            loop.stop("enough")
            loop.stop("too late")

    def on_record(self, loop, record):
        self.calls.append(("record", record["split"], record["step"]))

    def on_end(self, loop):
        self.calls.append(("end", loop.step, loop.complete, loop.stop_reason))

    def close(self):
        self.calls.append(("close",))


def test_hooks_are_called_in_order(step, start):
    hook = Calls()
    state = fit(start, step, nets.Batches(), num_steps=2, hooks=[hook])
    assert state.step == 2
    assert hook.calls == [
        ("start", 0),
        ("step", 1),
        ("step", 2),
        ("end", 2, True, None),
        ("close",),
    ]


def test_a_stopped_run_ends_after_the_step_with_the_first_reason(step, start):
    hook = Calls(stop_at=3)
    state = fit(start, step, nets.Batches(), num_steps=9, hooks=[hook])
    assert state.step == 3
    assert hook.calls[-2:] == [("end", 3, False, "enough"), ("close",)]


def test_a_stop_at_the_last_step_changes_nothing(step, start):
    hook = Calls(stop_at=2)
    fit(start, step, nets.Batches(), num_steps=2, hooks=[hook])
    assert hook.calls[-2] == ("end", 2, True, None)


@pytest.mark.parametrize(
    ("asked_here", "last", "reason"), [(True, 3, "enough"), (False, 5, "SIGTERM")]
)
def test_several_processes_stop_at_the_same_step(
    step, start, monkeypatch, asked_here, last, reason
):
    """The other process wants to be asked after every step, the shortest wait."""
    wishes = []

    def gather(wish):
        wishes.append(wish)
        asked = len(wishes) == last and not asked_here
        return [wish, [1, "SIGTERM" if asked else None]]

    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jaxcnn.checkpoint.processes.gather", gather)
    hook = Calls(stop_at=3 if asked_here else None)
    state = fit(start, step, nets.Batches(), num_steps=40, hooks=[hook])
    assert state.step == last == len(wishes)
    assert hook.calls[-2] == ("end", last, False, reason)
    assert all(1 <= steps <= 16 for steps, _ in wishes)


def test_two_half_runs_equal_one_bit_for_bit(step, start):
    whole = fit(start, step, nets.Batches(), num_steps=13)
    half = fit(start, step, nets.Batches(), num_steps=6)
    nets.assert_same(whole, fit(half, step, nets.Batches(), num_steps=13))


def test_a_finished_run_makes_no_step(step, start):
    hook = Calls()
    state = fit(start, step, nets.Batches(), num_steps=0, hooks=[hook])
    nets.assert_same(state, start)
    assert hook.calls == [("start", 0), ("end", 0, True, None), ("close",)]


def test_an_uncompiled_step_is_compiled_once_for_the_whole_run():
    model = nets.Linear(3)
    tx = optax.sgd(0.1)
    step = make_train_step(model, tx, classification())
    traced = chex.assert_max_traces(step, n=1)
    traced.donates = True
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    state = fit(state, traced, nets.Batches(), num_steps=12)
    assert state.step == 12


@pytest.mark.thorough
def test_a_run_over_a_mesh_equals_that_on_one_device(start):
    step = make_train_step(nets.ConvNet(dropout=0.3), TX, classification())
    one = fit(start, parallelize(step, donate=False), nets.Batches(), num_steps=4)
    mesh = parallelize(step, make_mesh(), donate=False)
    many = fit(start, mesh, nets.Batches(), num_steps=4)
    nets.assert_close(one, many, atol=1e-5)


class Poisoned(nets.Batches):
    """Batch 4 makes the loss infinite."""

    def __getitem__(self, k):
        batch = super().__getitem__(k)
        images = batch["image"].astype(np.float32) / 255
        return {**batch, "image": images + (np.inf if k == 4 else 0)}


class ReadAtEnd(Hook):
    def on_step(self, loop):
        if loop.step == 8:
            loop.read()


@pytest.mark.parametrize("hooks", [[], [ReadAtEnd()]])
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step(hooks, start):
    step = parallelize(
        make_train_step(nets.ConvNet(dropout=0.3), TX, classification()), donate=False
    )
    closed = Calls()
    with pytest.raises(NonFiniteError, match=r"after step 5 \(batch 4\)") as caught:
        fit(start, step, Poisoned(), num_steps=10, hooks=[closed, *hooks])
    assert caught.value.step == 5
    assert closed.calls[-1] == ("close",)
    assert not any(call[0] == "end" for call in closed.calls)


class Windows(Hook):
    def __init__(self, read_every=None):
        self.read_every = read_every
        self.windows = []

    def on_step(self, loop):
        if self.read_every and loop.step % self.read_every == 0:
            loop.read(lag=1)
        if loop.step % 5 == 0:
            self.windows.append(loop.take_window())


def test_metrics_are_exact_means_however_often_they_are_read(step, start):
    plain, often = Windows(), Windows(read_every=2)
    fit(start, step, nets.Batches(), num_steps=10, hooks=[plain])
    fit(start, step, nets.Batches(), num_steps=10, hooks=[often])
    assert plain.windows == often.windows
    # By hand: the mean of the batches' losses, as all batches are of one size.
    state, losses = start, []
    for k in range(5):
        state, metrics = step(state, nets.Batches()[k])
        losses.append(float(metrics["loss"].total) / 16)
    assert plain.windows[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert set(plain.windows[0]) == {"loss", "accuracy"}


class Pending:
    """A value that notes how many steps were dispatched when it is read."""

    def __init__(self, dispatched, reads):
        self.dispatched, self.reads = dispatched, reads

    def __array__(self, dtype=None, copy=None):
        self.reads.append(len(self.dispatched))
        return np.asarray(1.0)


class ReadLate(Hook):
    def on_step(self, loop):
        if loop.step == 6:
            loop.read(lag=2)


@pytest.mark.parametrize(
    ("hooks", "reads"),
    [([], [8] * 8), ([ReadLate()], [6] * 4 + [8] * 4)],
    ids=["at the end", "where a hook reads"],
)
def test_the_loop_waits_for_the_device_only_where_a_hook_reads(start, hooks, reads):
    dispatched, seen = [], []

    def step(state, batch):
        dispatched.append(batch)
        total = Pending(dispatched, seen)
        return state, {"loss": Mean(total=total, count=np.float32(1))}

    fit(start, step, nets.Batches(), num_steps=8, hooks=hooks)
    assert seen == reads


class Interrupted(nets.Batches):
    def __getitem__(self, k):
        if k == 3:
            raise OSError("the disk has gone")
        return super().__getitem__(k)


def test_an_error_of_the_data_surfaces_and_hooks_are_closed(step, start):
    hook = Calls()
    with pytest.raises(OSError, match="the disk has gone"):
        fit(start, step, Interrupted(), num_steps=9, hooks=[hook])
    assert hook.calls[-1] == ("close",)


def test_many_unread_steps_are_read_in_time(step, start, monkeypatch):
    monkeypatch.setattr("jaxcnn.train.loop._UNREAD_LIMIT", 4)
    hook = Windows()
    fit(start, step, nets.Batches(), num_steps=10, hooks=[hook])
    assert len(hook.windows) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": -1}, "num_steps must be 0 or more, got -1"),
        (
            {"num_steps": 1, "hooks": [print]},
            "Hook objects or names, got <built-in",
        ),
        (
            {"num_steps": 1, "hooks": ["progres"]},
            r"Unknown hook 'progres'. Did you mean 'progress'\?",
        ),
    ],
)
def test_bad_arguments(options, message, step, start):
    with pytest.raises(ValueError, match=message):
        fit(start, step, nets.Batches(), **options)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"loss": 1.0}, "metric 'loss' must be a jaxcnn.metrics.Mean, .*got float"),
        (1.0, "Metrics must be a dict of Mean by name, got 1.0"),
    ],
)
def test_an_own_step_whose_metrics_are_none(metrics, message, start):
    with pytest.raises(ValueError, match=message):
        fit(start, lambda state, batch: (state, metrics), nets.Batches(), num_steps=1)


def test_data_that_do_not_know_their_epoch(step, start):
    with pytest.raises(ValueError, match=r"data.steps_per_epoch.*got list"):
        fit(start, step, [nets.batch_of(0)], num_steps=1)


def test_hooks_by_name(step, start, capsys):
    state = fit(
        start, step, nets.Batches(), num_steps=2, hooks=["train_log", "stop_on_signal"]
    )
    assert state.step == 2


def eval_batches(size):
    """Returns 20 examples in batches of `size`, the last one padded."""
    whole = nets.batch_of(0, 20)
    for first in range(0, 20, size):
        rows = np.arange(first, first + size)
        batch = {name: x[np.minimum(rows, 19)] for name, x in whole.items()}
        yield {**batch, "mask": (rows < 20).astype(np.float32)}


def test_evaluation_does_not_depend_on_the_batch_size(start):
    step = make_eval_step(nets.ConvNet(), classification())
    results = []
    for size in (1, 3, 7, 20, 32):
        traced = chex.assert_max_traces(step, n=1)
        results.append(evaluate(parallelize(traced), start, eval_batches(size)))
        chex.clear_trace_counter()
    for result in results[1:]:
        assert result == pytest.approx(results[0], rel=1e-5)
        assert result["accuracy"] == results[0]["accuracy"]


def test_an_evaluation_of_nothing_is_refused(start):
    step = parallelize(make_eval_step(nets.ConvNet(), classification()))
    with pytest.raises(ValueError, match="no batches"):
        evaluate(step, start, [])
    batch = {**nets.batch_of(0), "mask": np.zeros(16, np.float32)}
    with pytest.raises(ValueError, match="every mask is 0"):
        evaluate(step, start, [batch])
