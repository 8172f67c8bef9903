import dataclasses
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data import Source, TrainData
from jaxcnn.metrics import Mean
from jaxcnn.train import (
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    NonFiniteError,
    Progress,
    SaveCheckpoints,
    Task,
    TrainLog,
    classification,
    fit,
    init_ema,
    init_state,
    make_eval_step,
    make_mesh,
    make_train_step,
    parallelize,
    read_metrics,
    skip_nonfinite,
    with_ema,
)

TX = optax.adam(0.01)


def source():
    """Returns 40 images of numbers below 220."""
    whole = nets.batch_of(0, 40)
    return Source("pictures", whole["image"], whole["label"], ("a", "b", "c"))


class Poisoned:
    """Batches of 8, of which those with certain numbers hold an infinite image."""

    def __init__(self, *numbers, seed=3):
        self.data, self.numbers = TrainData(source(), 8, seed), numbers
        self.steps_per_epoch, self.seed = self.data.steps_per_epoch, seed

    def __getitem__(self, k):
        batch = self.data[k]
        images = batch["image"].astype(np.float32) / 255
        images[5] += np.inf if k in self.numbers else 0
        return {**batch, "image": images}


def start():
    model = nets.ConvNet(dropout=0.3)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    return init_ema(state)


@pytest.fixture(scope="module")
def uncompiled():
    model = nets.ConvNet(dropout=0.3)
    return with_ema(make_train_step(model, TX, classification()))


@pytest.fixture(scope="module")
def step(uncompiled):
    return parallelize(uncompiled)


@pytest.fixture(scope="module")
def skipping(uncompiled):
    return parallelize(skip_nonfinite(uncompiled))


@pytest.fixture(scope="module")
def eval_step():
    return parallelize(make_eval_step(nets.ConvNet(), classification()))


def left_out_by_hand(step, data, num_steps, batches):
    state = start()
    for k in range(num_steps):
        if k in batches:
            state = state.replace(step=state.step + 1)
        else:
            state, _ = step(state, data[k])
    return state


class Records(Hook):
    def __init__(self):
        self.records = []

    def on_record(self, loop, record):
        self.records.append(record)


def test_a_skipped_step_changes_the_step_number_alone(skipping):
    state, _ = skipping(start(), Poisoned()[0])
    before = jax.tree.map(np.asarray, nets.key_data(state))
    state, metrics = skipping(state, Poisoned(1)[1])
    assert state.step == 2
    for one, two in zip(
        jax.tree.leaves(before), nets.leaves(state.replace(step=1)), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert metrics.keys() == {"loss", "accuracy", "nonfinite"}
    assert (metrics["loss"].total, metrics["loss"].count) == (0, 0)
    assert (metrics["nonfinite"].total, metrics["nonfinite"].count) == (1, 1)
    _, metrics = skipping(state, Poisoned(1)[2])
    assert metrics["loss"].count == 8
    assert metrics["nonfinite"].total == 0


def test_a_run_that_skips_equals_one_without_those_batches(skipping):
    data, records = Poisoned(3, 6), Records()
    hooks = [TrainLog(4), records]
    state = fit(start(), skipping, data, num_steps=9, hooks=hooks)
    nets.assert_same(state, left_out_by_hand(skipping, data, 9, {3, 6}))
    events = [r for r in records.records if r["split"] == "nonfinite"]
    assert events == [
        {
            **{"step": 4, "epoch": 0.8, "split": "nonfinite"},
            **{"batch": 3, "seed": 3, "action": "skip"},
        },
        {
            **{"step": 7, "epoch": 1.4, "split": "nonfinite"},
            **{"batch": 6, "seed": 3, "action": "skip"},
        },
    ]
    train = [r for r in records.records if r["split"] == "train"]
    assert [r["nonfinite"] for r in train] == [0.25, 0.25, 0.0]
    assert all(np.isfinite(r["loss"]) for r in train)
    # The event stands before the record of the steps that it is one of.
    assert [r["split"] for r in records.records][:2] == ["nonfinite", "train"]


@pytest.mark.thorough
def test_skipping_over_a_mesh(skipping, uncompiled):
    data = Poisoned(1)
    one = fit(start(), skipping, data, num_steps=4)
    mesh = parallelize(skip_nonfinite(uncompiled), make_mesh())
    nets.assert_close(one, fit(start(), mesh, data, num_steps=4), atol=1e-5)


@pytest.mark.thorough
def test_skipping_by_pmap():
    def run(how, axis_name):
        model = nets.ConvNet(axis_name=axis_name)
        step = make_train_step(model, TX, classification(), axis_name=axis_name)
        step = parallelize(skip_nonfinite(with_ema(step)), how)
        state = init_ema(init_state(model, TX, jax.random.key(0), nets.EXAMPLE))
        return fit(state, step, Poisoned(1), num_steps=4)

    nets.assert_close(run("jit", None), run("pmap", "batch"), atol=1e-5)


@pytest.mark.thorough
def test_a_sound_run_is_not_changed_by_skipping(step, skipping):
    one = fit(start(), step, Poisoned(), num_steps=5)
    nets.assert_close(one, fit(start(), skipping, Poisoned(), num_steps=5), atol=1e-6)


def test_a_step_of_ones_own_is_skipped_by_its_loss_and_parameters():
    def own(state, batch):
        params = {"w": state.params["w"] + batch["a"].sum()}
        new = state.replace(step=state.step + 1, params=params)
        return new, {"loss": Mean.of(batch["b"])}

    step = jax.jit(skip_nonfinite(own))
    state = start().replace(params={"w": jnp.zeros(())}, model_state={})
    for a, b, kept in [(1, 1, 1), (np.nan, 1, 1), (1, np.inf, 1), (2, 1, 3)]:
        batch = {"a": np.float32([a]), "b": np.float32([b])}
        state, _ = step(state, batch)
        assert state.params["w"] == kept
    assert state.step == 4


def test_many_skips_in_a_row_end_the_run(skipping):
    records = Records()
    with pytest.raises(
        NonFiniteError, match=r"after step 6 \(batch 5\).* last of 3 left out in a row"
    ):
        fit(
            start(),
            skipping,
            Poisoned(0, 1, 3, 4, 5),
            num_steps=9,
            hooks=[records],
            max_skips=3,
        )
    actions = [r["action"] for r in records.records]
    assert actions == ["skip", "skip", "skip", "skip", "stop"]


def test_skips_are_counted_over_a_resume(skipping, tmp_path):
    def run(num_steps):
        with Checkpoints(tmp_path) as checkpoints:
            saver = SaveCheckpoints(checkpoints, every=50)
            return fit(
                saver.resume(start()),
                skipping,
                Poisoned(2, 3, 4),
                num_steps=num_steps,
                hooks=[saver],
                max_skips=3,
            )

    run(4)
    with pytest.raises(NonFiniteError, match="after step 5"):
        run(9)


def test_the_batch_of_an_event_is_built_again_from_its_record():
    bad = [7, 19]
    images = source().images.copy()
    images[bad, 2, 3] = 255  # by which the loss tells them
    pictures = dataclasses.replace(source(), images=images)

    def loss(outputs, batch):
        wrong = (batch["image"] == 1).any(axis=(1, 2, 3))
        return jnp.where(wrong, jnp.inf, outputs[:, 0] ** 2)

    task = Task(loss, lambda outputs, batch: {})
    step = skip_nonfinite(make_train_step(nets.Linear(), TX, task))
    state = init_state(nets.Linear(), TX, jax.random.key(0), nets.EXAMPLE)
    seen, records, data = [], Records(), TrainData(pictures, batch_size=8, seed=11)

    class Watched:
        steps_per_epoch, seed = data.steps_per_epoch, data.seed

        def __getitem__(self, k):
            seen.append(data[k])
            return seen[-1]

    fit(state, step, Watched(), num_steps=10, hooks=[records])
    assert 3 <= len(records.records) <= 4  # two images in two epochs
    for event in records.records:
        again = TrainData(pictures, batch_size=8, seed=event["seed"])[event["batch"]]
        assert (again["image"] == 255).any()
        for name, value in seen[event["step"] - 1].items():
            np.testing.assert_array_equal(again[name], value)


def run_back(folder, step, data, num_steps, *more, rollbacks=2):
    """Runs with rollbacks in a folder, or goes on with it."""
    with Checkpoints(folder / "checkpoints", best="loss", mode="min") as checkpoints:
        saver = SaveCheckpoints(checkpoints, every=4)
        hooks = [
            JsonLines(folder / "metrics"),
            *more[:1],
            TrainLog(3),
            *more[1:],
            saver,
        ]
        return fit(
            saver.resume(start()),
            step,
            data,
            num_steps=num_steps,
            hooks=hooks,
            rollbacks=rollbacks,
        )


def records_of(folder):
    """Returns the records but for their times."""
    times = ("time", "seconds")
    return [
        {k: v for k, v in record.items() if k not in times}
        for record in read_metrics(folder / "metrics")
    ]


def test_a_rollback_goes_on_without_the_batch(step, eval_step, tmp_path):
    data, file = Poisoned(2, 6), io.StringIO()
    evaluation = Evaluate(eval_step, [nets.batch_of(0)], every=4)
    early = EarlyStopping(patience=9, restore_best=False)
    progress = Progress(file=file)
    state = run_back(tmp_path, step, data, 10, evaluation, progress, early)
    nets.assert_same(state, left_out_by_hand(step, data, 10, {2, 6}))
    records = records_of(tmp_path)
    made = [(r["step"], r["split"]) for r in records]
    assert len(set(made)) == len(made)
    assert [r["step"] for r in records if r["split"] == "train"] == [3, 6, 9, 10]
    assert [
        (r["step"], r["batch"], r["seed"], r["action"])
        for r in records
        if r["split"] == "nonfinite"
    ] == [(3, 2, 3, "left_out"), (7, 6, 3, "left_out")]
    printed = file.getvalue()
    assert "step      3  not finite: batch 2 of seed 3; going back" in printed
    assert "step      7  not finite: batch 6 of seed 3; left out" in printed
    # Back to 0, as nothing was saved before, then to the checkpoint of step 4.
    starts = [
        json.loads(path.read_text().splitlines()[0])["start"]
        for path in sorted((tmp_path / "metrics").iterdir())
    ]
    assert starts == [0, 0, 4]


def test_a_resumed_run_leaves_the_same_batches_out(step, tmp_path):
    data = Poisoned(2, 6)
    whole = run_back(tmp_path / "whole", step, data, 10)
    for num_steps in (5, 8, 10):
        parts = run_back(tmp_path / "parts", step, data, num_steps)
    nets.assert_same(whole, parts)
    one, two = records_of(tmp_path / "whole"), records_of(tmp_path / "parts")
    events = [[r for r in rs if r["split"] == "nonfinite"] for rs in (one, two)]
    assert events[0] == events[1]
    # A batch that is finite at the next start stays out: it is in the checkpoint.
    sound = run_back(tmp_path / "parts", step, Poisoned(), 12)
    assert sound.step == 12
    with Checkpoints(tmp_path / "parts" / "checkpoints") as checkpoints:
        info = checkpoints.restore(start()).info
    assert info["loop"]["nonfinite"]["left_out"] == [2, 6]


def test_more_rollbacks_than_allowed_end_the_run(step, tmp_path):
    with pytest.raises(NonFiniteError, match=r"after step 8.*left out before: 2\."):
        run_back(tmp_path, step, Poisoned(2, 5, 7), 10)
    last = [r for r in records_of(tmp_path) if r["split"] == "nonfinite"][-1]
    assert (last["step"], last["action"]) == (8, "stop")


@pytest.mark.thorough
def test_a_rollback_over_a_mesh(step, uncompiled, tmp_path):
    data = Poisoned(2)
    mesh = parallelize(uncompiled, make_mesh())
    one = run_back(tmp_path / "one", step, data, 5)
    many = run_back(tmp_path / "many", mesh, data, 5)
    nets.assert_close(one, many, atol=1e-5)


def test_a_stop_is_recorded(step, tmp_path):
    with pytest.raises(NonFiniteError, match=r"after step 3 \(batch 2\)"):
        run_back(tmp_path, step, Poisoned(2), 10, rollbacks=0)
    event = records_of(tmp_path)[-1]
    assert (event["step"], event["batch"], event["action"]) == (3, 2, "stop")


def test_several_processes_end_at_reads_that_all_make(step, monkeypatch):
    monkeypatch.setattr("jaxcnn.train.loop.processes.gather", lambda wish: [wish])

    class ReadSome(Hook):
        """Reads with a lag, as the progress of one process does."""

        def __init__(self):
            self.steps = []

        def on_start(self, loop):
            monkeypatch.setattr("jax.process_count", lambda: 2)

        def on_step(self, loop):
            loop.read(lag=1)
            self.steps.append(loop.step)

        def close(self):
            monkeypatch.setattr("jax.process_count", lambda: 1)

    hook = ReadSome()
    with pytest.raises(NonFiniteError, match="after step 2"):
        fit(start(), step, Poisoned(1), num_steps=8, hooks=[hook, TrainLog(6)])
    assert hook.steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_skips": 0}, "max_skips must be 1 or more, got 0"),
        ({"rollbacks": -1}, "rollbacks must be 0 or more, got -1"),
        ({"rollbacks": 1}, "give fit the hook SaveCheckpoints"),
    ],
)
def test_bad_arguments(options, message, step):
    with pytest.raises(ValueError, match=message):
        fit(start(), step, Poisoned(), num_steps=1, **options)
