import time

import jax
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.metrics import Mean
from jaxcnn.train import Clock, Hook, Progress, TrainLog, fit
from jaxcnn.train.timing import describe_time


class Ticks:
    """A clock of the host that a test moves by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def ticks(monkeypatch):
    return Ticks(monkeypatch)


class Sleeper(Hook):
    """Takes two seconds a step, and one for a record."""

    def __init__(self, ticks):
        self.ticks = ticks

    def on_step(self, loop):
        self.ticks.now += 2
        if loop.step == 2:
            loop.record("validation", {"loss": 1.0})


class Listener(Hook):
    def __init__(self, ticks=None):
        self.ticks = ticks
        self.reports = []

    def on_record(self, loop, record):
        if self.ticks is not None:
            self.ticks.now += 1

    def on_report(self, loop, name, values):
        self.reports.append((name, loop.step, values))

    def of(self, kind):
        return [values for name, _, values in self.reports if name == kind]


class State:
    """All of a state that the loop asks for."""

    step = 0


def test_phases_add_up_and_inner_ones_interrupt(ticks):
    clock = Clock()
    ticks.now += 1
    clock.switch("step")
    ticks.now += 4

    def inner():
        ticks.now += 2
        return "done"

    assert clock.timed("compile", inner) == "done"
    ticks.now += 3
    found = clock.seconds()
    assert found == {
        "seconds": 10, "input": 1, "compile": 2, "step": 7, "hooks": 0
    }  # fmt: skip
    assert clock.training_seconds == 8


def test_an_error_leaves_the_phase_as_it_was(ticks):
    clock = Clock()

    def fails():
        ticks.now += 2
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        clock.timed("hooks/Bad", fails)
    ticks.now += 1
    assert clock.seconds() == {
        "seconds": 3, "input": 1, "compile": 0, "step": 0, "hooks": 2, "hooks/Bad": 2
    }  # fmt: skip


def test_a_run_reports_the_time_of_input_steps_and_hooks(ticks):
    class Data:
        steps_per_epoch = 10

        def __getitem__(self, k):
            return nets.batch_of(k)

    def step(state, batch):
        ticks.now += 5
        return state, {"loss": Mean.of(jax.numpy.ones(2))}

    listener = Listener(ticks)
    fit(State(), step, Data(), num_steps=3, hooks=[Sleeper(ticks), listener])
    (values,) = listener.of("time")
    # The record was made within the sleeper, and its second is the listener's.
    assert values == {
        "seconds": 22, "input": 0, "compile": 0, "step": 15, "hooks": 7,
        "hooks/Sleeper": 6, "hooks/Listener": 1,
    }  # fmt: skip


def test_speed_leaves_out_hooks_and_is_shared_by_devices(ticks):
    def step(state, batch):
        ticks.now += 4
        return state, {"loss": Mean.of(jax.numpy.ones(2))}

    listener = Listener()
    hooks = [Sleeper(ticks), TrainLog(2), listener]
    fit(State(), step, nets.Batches(), num_steps=4, hooks=hooks)
    # 2 steps of 16 images in 2 x 4 seconds, whatever the sleeper did.
    assert listener.of("speed") == 2 * [
        {"images_per_second": 4.0, "images_per_second_per_device": 4.0}
    ]


def test_the_time_is_told_in_one_line(capsys):
    line = describe_time(
        {"seconds": 20, "compile": 10, "input": 0.3, "step": 9.2, "hooks": 0.5}
        | {"hooks/Evaluate": 0.4, "hooks/Saver": 0.06, "hooks/Progress": 0.04}
    )
    assert line == (
        "20.0 s: compile 10.0 s, then input 3 %, step 92 %, hooks 5 % (Evaluate 4 %, "
        "Saver 1 %)"
    )


def test_progress_tells_compilation_first_and_time_last(capsys):
    from jaxcnn.train import classification, init_state, make_train_step

    tx = optax.sgd(0.1)
    state = init_state(nets.Linear(3), tx, jax.random.key(0), nets.EXAMPLE)
    step = make_train_step(nets.Linear(3), tx, classification())
    fit(state, step, nets.Batches(), num_steps=2, hooks=[Progress(bar=False)])
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("compiled in ")
    assert "GFLOP a step" in first
    assert last.startswith("time: ")
    assert "input" in last
