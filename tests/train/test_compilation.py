import jax
import jax.monitoring
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.train import (
    JsonLines,
    classification,
    compile_ahead,
    fit,
    init_state,
    make_mesh,
    make_train_step,
    parallelize,
    read_metrics,
    read_reports,
)
from jaxcnn.train.compilation import describe_compilation, in_bytes
from tests.train.test_timing import Listener

TX = optax.sgd(0.1)
COMPILED = "/jax/core/compile/backend_compile_duration"


def start():
    return init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)


def step_for(how):
    axis_name = "batch" if how == "pmap" else None
    step = make_train_step(nets.Linear(3), TX, classification(), axis_name=axis_name)
    return parallelize(step, make_mesh() if how == "mesh" else how)


@pytest.fixture
def compiled():
    """The names of what XLA compiles during a test."""
    names = []

    def listen(event, seconds, **options):
        if event == COMPILED:
            names.append(options.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("how", ["jit", "mesh"])
def test_a_step_is_compiled_once_and_reported_before_it_runs(how, compiled):
    listener = Listener()
    step, state = step_for(how), start()
    compiled.clear()
    state = fit(state, step, nets.Batches(), num_steps=3, hooks=[listener])
    assert compiled.count("jit(train_step)") == 1
    assert [at for kind, at, _ in listener.reports if kind == "compile"] == [0]
    # A second start with the same step compiles nothing.
    fit(state, step, nets.Batches(), num_steps=6, hooks=[])
    assert compiled.count("jit(train_step)") == 1


def test_pmap_is_left_alone(compiled):
    step, state = step_for("pmap"), start()
    batch = nets.batch_of(0)
    compiled.clear()
    assert compile_ahead(step, state, batch) == (state, None)
    assert compiled == []


def test_the_report_holds_time_memory_and_operations():
    step, state = step_for("jit"), start()
    batch = step.place(nets.batch_of(0))
    same, values = compile_ahead(step, state, batch)
    assert same is state
    assert 0 < values["trace_seconds"] < values["seconds"]
    # 36 x 3 weights, step and key (two uint32), and images and labels of the batch.
    weights, counter, key = 36 * 3 * 4, 4, 8
    held = weights + counter + key
    assert values["argument_bytes"] == held + 16 * 36 + 16 * 4
    assert values["output_bytes"] >= held
    assert values["alias_bytes"] == held  # the whole state is donated
    assert values["peak_bytes"] == (
        values["argument_bytes"] + values["output_bytes"] - values["alias_bytes"]
        + values["temporary_bytes"] + values["code_bytes"]
    )  # fmt: skip
    # Forward and the gradient of the kernel: each 16 x 36 x 3 multiply-adds.
    assert values["flops"] >= 2 * 2 * 16 * 36 * 3
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_a_step_of_the_users_own_reports_nothing():
    state = start()
    assert compile_ahead(lambda state, batch: None, state, {}) == (state, None)


def test_numbers_do_not_depend_on_the_report():
    step, state = step_for("jit"), start()
    direct, _ = step(start(), step.place(nets.batch_of(0)))
    through = fit(state, step, nets.Batches(), num_steps=1)
    nets.assert_same(direct, through)


def test_reports_are_no_records(tmp_path):
    step, state = step_for("jit"), start()
    for stop in (2, 4):
        hooks = [JsonLines(tmp_path), "train_log"]
        state = fit(state, step, nets.Batches(), num_steps=stop, hooks=hooks)
    assert [r["step"] for r in read_metrics(tmp_path)] == [2, 4]
    reports = read_reports(tmp_path)
    kinds = ["compile", "speed", "time"]
    assert [r["report"] for r in reports] == kinds * 2
    assert [r["start"] for r in reports] == [0] * 3 + [2] * 3
    assert [r["step"] for r in reports] == [0, 2, 2, 2, 4, 4]
    assert reports[2]["values"]["step"] > 0
    assert np.isclose(
        reports[1]["values"]["images_per_second_per_device"],
        reports[1]["values"]["images_per_second"],
    )
    assert read_reports(tmp_path / "nowhere") == []


def test_memory_is_told_in_words():
    line = describe_compilation(
        {
            "seconds": 3.24, "trace_seconds": 0.4, "argument_bytes": 2**20,
            "output_bytes": 2**20, "alias_bytes": 2**19, "temporary_bytes": 3 * 2**30,
            "code_bytes": 10, "peak_bytes": 5 * 2**30, "flops": 24.6e9,
        }
    )  # fmt: skip
    assert line == (
        "compiled in 3.2 s (tracing 0.4 s); memory 5.0 GiB a device (arguments 1.0 MiB,"
        " outputs 1.0 MiB, of which donated 512.0 KiB, temporaries 3.0 GiB, code 10 B);"
        " 24.6 GFLOP a step"
    )
    assert in_bytes(5000 * 2**30) == "5000.0 GiB"
