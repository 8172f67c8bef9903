import jax
import jax.numpy as jnp
import pytest

import tests.train.nets as nets
from jaxcnn.metrics import Mean
from jaxcnn.train import Hook, Profile, fit
from jaxcnn.train.hooks.profile import parse_window


class State:
    """All of a state that the loop asks for."""

    def __init__(self, step=0):
        self.step = step


def step(state, batch):
    return state, {"loss": Mean.of(jnp.ones(2))}


@pytest.fixture
def traced(monkeypatch):
    """Stands in for JAX's profiler: what was started, marked and stopped, in order."""
    calls = []

    class Mark:
        def __init__(self, name, step_num):
            self.number = step_num

        def __enter__(self):
            calls.append(self.number)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(
        jax.profiler, "start_trace", lambda *a, **o: calls.append("start")
    )
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    monkeypatch.setattr(jax.profiler, "StepTraceAnnotation", Mark)
    monkeypatch.setattr(jax, "block_until_ready", lambda x: calls.append("wait"))
    return calls


@pytest.mark.parametrize(
    ("window", "first", "last", "calls"),
    [
        ((2, 4), 0, 6, ["wait", "start", 2, 3, "wait", "stop"]),
        ((0, 1), 0, 6, ["wait", "start", 0, "wait", "stop"]),
        ((5, 9), 0, 6, ["wait", "start", 5, "wait", "stop"]),  # cut by the end
        ((2, 4), 3, 6, ["wait", "start", 3, "wait", "stop"]),  # resumed inside
        ((2, 4), 4, 6, []),  # resumed past it
        ((2, 4), 6, 6, []),  # nothing left to do
    ],
)
def test_the_window_is_traced_and_nothing_else(
    traced, tmp_path, window, first, last, calls
):
    hook = Profile(*window, tmp_path)
    fit(State(first), step, nets.Batches(), num_steps=last, hooks=[hook])
    assert traced == calls


def test_an_early_end_and_an_error_end_the_trace(traced, tmp_path):
    class Stop(Hook):
        def on_step(self, loop):
            if loop.step == 3:
                loop.stop("enough")

    hooks = [Profile(2, 9, tmp_path), Stop()]
    fit(State(), step, nets.Batches(), num_steps=20, hooks=hooks)
    assert traced == ["wait", "start", 2, 3, "wait", "stop"]
    traced.clear()

    class Fail(Hook):
        def on_step(self, loop):
            if loop.step == 3:
                raise RuntimeError("broken")

    hooks = [Profile(2, 9, tmp_path), Fail()]
    with pytest.raises(RuntimeError, match="broken"):
        fit(State(), step, nets.Batches(), num_steps=20, hooks=hooks)
    assert traced == ["wait", "start", 2, 3, "stop"]


def test_files_for_xprof_and_perfetto_are_written(tmp_path):
    hook = Profile(1, 2, tmp_path / "profile")
    fit(State(), step, nets.Batches(), num_steps=3, hooks=[hook])
    names = [path.name for path in (tmp_path / "profile").rglob("*")]
    assert "perfetto_trace.json.gz" in names
    assert any(name.endswith(".xplane.pb") for name in names)


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 2), (-1, 2)])
def test_a_window_without_steps_is_refused(start, stop):
    with pytest.raises(ValueError, match=rf"start < stop, got {start}:{stop}"):
        Profile(start, stop, "profile")


def test_a_window_past_the_end_is_refused(tmp_path):
    hooks = [Profile(6, 8, tmp_path)]
    with pytest.raises(ValueError, match=r"6:8, lie past the end .* has 6 steps"):
        fit(State(), step, nets.Batches(), num_steps=6, hooks=hooks)


@pytest.mark.parametrize("text", ["10", "10:", ":5", "5:5", "7:3", "1:2:3", "a:b", ""])
def test_bad_windows_name_the_option(text):
    with pytest.raises(ValueError, match=r"profile must be start:stop, such as 10:15"):
        parse_window(text)
