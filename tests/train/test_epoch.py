"""Several steps a call on resident data: the numbers of steps one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.augment import alternating_flip
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data import ResidentData, Source, TrainData
from jaxcnn.train import (
    Hook,
    SaveCheckpoints,
    TrainLog,
    classification,
    epoch_order,
    fit,
    init_state,
    make_epoch,
    make_mesh,
    make_steps,
    make_train_step,
    parallelize,
)
from jaxcnn.train.resident import call_end, steps_of_call

TX = optax.adam(0.01)
MODEL = nets.ConvNet(dropout=0.3)


@pytest.fixture(scope="module")
def data():
    """Forty images in batches of eight: five steps an epoch, with masks."""
    batch = nets.batch_of(0, 43)
    mask = np.ones(43, np.float32)
    mask[::5] = 0
    source = Source(
        "forty", batch["image"], batch["label"], ("a", "b", "c"), extras={"mask": mask}
    )
    return TrainData(source, 8, seed=3, numbered=True)


@pytest.fixture(scope="module")
def raw_step():
    flip = alternating_flip(seed=1)
    return make_train_step(MODEL, TX, classification(), augment=flip)


@pytest.fixture(scope="module")
def step(raw_step):
    return parallelize(raw_step, donate=False)


@pytest.fixture(scope="module")
def start():
    return init_state(MODEL, TX, jax.random.key(0), nets.EXAMPLE)


class Ends(Hook):
    """Writes down after which steps it was called."""

    def __init__(self):
        self.steps = []

    def on_step(self, loop):
        self.steps.append(loop.step)


class Records(Hook):
    def __init__(self):
        self.records = []

    def on_record(self, loop, record):
        numbers = {k: v for k, v in record.items() if k not in ("split", "seconds")}
        self.records.append(numbers)


@pytest.fixture(scope="module")
def one_by_one(step, start, data):
    records = Records()
    log = TrainLog(5)
    return fit(start, step, data, num_steps=12, hooks=[log, records]), records.records


@pytest.mark.parametrize("steps_per_call", [None, 2])
def test_resident_data_train_like_batches_from_the_host(
    steps_per_call, step, start, data, one_by_one
):
    ends, records = Ends(), Records()
    resident = ResidentData(data, steps_per_call)
    hooks = [TrainLog(5), ends, records]
    state = fit(start, step, resident, num_steps=12, hooks=hooks)
    # Unrolled steps are fused otherwise, and round otherwise.
    nets.assert_close(state, one_by_one[0], 0 if steps_per_call is None else 1e-5)
    assert ends.steps == (
        list(range(1, 13)) if steps_per_call is None else [2, 4, 5, 7, 9, 10, 12]
    )
    assert [r["step"] for r in records.records] == [5, 10, 12]
    for one, two in zip(records.records, one_by_one[1], strict=True):
        assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.thorough
def test_a_scanned_call_gives_the_same(step, start, data, one_by_one):
    resident = ResidentData(data)
    steps = jax.jit(make_steps(step, loop="scan", numbered=True))
    state, metrics = steps(start, resident.examples(), resident.rows(0, 12))
    nets.assert_close(state, one_by_one[0], 1e-5)
    assert metrics["loss"].total.shape == (12,)


@pytest.mark.thorough
def test_a_resumed_run_ends_its_calls_at_the_same_steps(step, start, data, tmp_path):
    whole = fit(start, step, ResidentData(data, 2), num_steps=7)
    ends = Ends()
    for num_steps in (2, 5, 7):
        with Checkpoints(tmp_path) as checkpoints:
            saver = SaveCheckpoints(checkpoints, every=2)
            state = saver.resume(start)
            hooks = [ends, saver]
            resident = ResidentData(data, 2)
            half = fit(state, step, resident, num_steps=num_steps, hooks=hooks)
    assert ends.steps == [2, 4, 5, 7]
    nets.assert_same(half, whole)


def test_calls_end_with_epochs_and_around_steps_left_out():
    def ends(most, left_out=()):
        found, step = [], 0
        while step < 12:
            step = call_end(step, most, 5, 12, left_out)
            found.append(step)
        return found

    assert ends(5) == [5, 10, 12]
    assert ends(1000) == [5, 10, 12]
    assert ends(3, {1, 6}) == [1, 2, 3, 5, 6, 7, 8, 10, 12]


def test_a_call_on_a_cpu_is_short():
    assert steps_of_call(None, 390) == 1
    assert steps_of_call(8, 390) == 8
    with pytest.raises(ValueError, match=r"steps_per_call is 65.*64 at most"):
        steps_of_call(65, 390)


def test_an_accelerator_makes_an_epoch_in_one_call(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert steps_of_call(None, 390) == 390
    assert steps_of_call(65, 390) == 65


@pytest.mark.thorough
@pytest.mark.parametrize("shard", [None, 8])
def test_a_mesh_gives_the_same(shard, raw_step, start, data, one_by_one):
    mesh = make_mesh({"data": 4, "fsdp": 2})
    over = parallelize(raw_step, mesh, shard=shard, donate=False)
    state = fit(start, over, ResidentData(data, 2), num_steps=12)
    nets.assert_close(state, one_by_one[0], 1e-5)
    kernel = state.params["head"]["kernel"]
    split = kernel.addressable_shards[0].data.shape != kernel.shape
    assert split == (shard is not None)


@pytest.mark.thorough
def test_an_epoch_is_its_steps_on_the_order_of_the_device(step, start, data):
    examples = ResidentData(data).examples()
    epoch = jax.jit(make_epoch(step, 8, loop="scan", numbered=True))
    state, metrics = epoch(start, examples, 7, 2)
    order = epoch_order(43, 8, 7, 2)
    batches = {**{k: np.asarray(v) for k, v in examples.items()}}
    one = start
    for index in np.asarray(order):
        batch = {name: rows[index] for name, rows in batches.items()}
        batch |= {"index": index, "epoch": np.full_like(index, 2)}
        one, _ = step(one, batch)
    nets.assert_close(state, one, 1e-5)
    assert metrics["loss"].total.shape == (5,)


def test_the_order_of_the_device_is_a_permutation_that_seed_and_epoch_choose():
    order = np.asarray(epoch_order(43, 8, 7, 2))
    assert order.shape == (5, 8)
    assert len(set(order.ravel())) == 40
    assert (order == np.asarray(epoch_order(43, 8, jax.random.key(7), 2))).all()
    for other in (epoch_order(43, 8, 7, 3), epoch_order(43, 8, 8, 2)):
        assert (order != np.asarray(other)).mean() > 0.5


def test_rows_are_the_positions_of_the_data(data):
    rows = ResidentData(data).rows(4, 3)
    assert rows["epoch"].tolist() == [0, 1, 1]
    for k, row in zip(range(4, 7), rows["index"], strict=True):
        assert (row == data.positions(k)).all()


def test_resident_data_answer_as_the_data_they_are_made_of(data):
    resident = ResidentData(data)
    assert (resident.seed, resident.batch_size, resident.steps_per_epoch) == (3, 8, 5)
    assert (resident[6]["index"] == data[6]["index"]).all()
    assert len(resident.eval_batches()) == 6


def test_data_that_cannot_be_resident_are_refused(data):
    with pytest.raises(ValueError, match=r"source is in memory, got Batches of NoneTy"):
        ResidentData(nets.Batches())
    with pytest.raises(ValueError, match="for one process"):
        ResidentData(dataclasses.replace(data, process_index=0, process_count=2))
    with pytest.raises(ValueError, match="steps_per_call must be 1 or more, got 0"):
        ResidentData(data, 0)


def test_what_cannot_be_one_call_is_refused(step, data, start):
    with pytest.raises(ValueError, match=r"loop='scam' is unknown.*'scan'"):
        make_steps(step, loop="scam")
    mapped = make_train_step(MODEL, TX, classification(), axis_name="x")
    with pytest.raises(ValueError, match="not for 'pmap': give parallelize a mesh"):
        fit(start, parallelize(mapped, "pmap"), ResidentData(data), num_steps=1)
    with pytest.raises(ValueError, match=r"batch_size is 50, but .* only 43 examples"):
        make_epoch(step, 50)(start, {"image": jnp.zeros((43, 6, 6, 1))}, 0, 0)
    with pytest.raises(ValueError, match="batch_size"):
        make_epoch(step, 0)


def test_a_batch_left_out_changes_the_step_alone(step, start, data):
    whole = ResidentData(data, 3)
    from jaxcnn.train.loop import Loop
    from jaxcnn.train.nonfinite import Watch
    from jaxcnn.train.resident import run_resident

    loop = Loop(start, 2, 5, watch=Watch(10, 1, {1}))
    run_resident(loop, step, whole)
    alone = fit(start, step, data, num_steps=1)
    nets.assert_same(loop.state.replace(step=alone.step), alone)
    assert int(loop.state.step) == 2
