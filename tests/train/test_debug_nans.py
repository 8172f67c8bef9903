import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import tests.train.nets as nets
from jaxcnn.train import (
    DebugNans,
    Hook,
    NonFiniteError,
    Task,
    classification,
    find_nonfinite,
    fit,
    init_state,
    make_train_step,
    parallelize,
    skip_nonfinite,
)


class ByZero(nn.Module):
    """Divides by how far the inputs are from themselves."""

    @nn.compact
    def __call__(self, x):
        return x / (x - x)


class Root(nn.Module):
    """The root, whose slope at 0 is infinite."""

    @nn.compact
    def __call__(self, x):
        return jnp.sqrt(x)


class Overflowing(nn.Module):
    """Keeps a mean that does not fit its type, and goes on without it."""

    @nn.compact
    def __call__(self, x):
        mean = self.variable("seen", "mean", lambda: jnp.zeros(()))
        if not self.is_initializing():
            mean.value = jnp.exp(1000 + 0 * x.mean())
        return x


class Block(nn.Module):
    fault: str | None = None

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4, name="first")(x)
        if self.fault == "module":
            x = ByZero(name="by_zero")(x)
        elif self.fault == "own code":
            x = x / (x - x)
        elif self.fault == "root":
            x = Root(name="root")(x - x)
        elif self.fault == "own root":
            x = jnp.sqrt(x - x)
        elif self.fault == "own end":
            return nn.Dense(4, name="second")(x) * jnp.inf
        elif self.fault == "state":
            x = Overflowing(name="mean")(x)
        return nn.Dense(4, name="second")(x)


class Net(nn.Module):
    fault: str | None = None

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.Dense(4, name="stem")(x.reshape(len(x), -1)))
        x = Block(self.fault, name="block")(x)
        return nn.Dense(3, name="head")(x)


TASK = classification()


@functools.cache
def variables_of(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 6, 6, 1)))


def find(fault=None, task=TASK, batch=None, change=None, **options):
    model = Net(fault)
    variables = jax.tree.map(np.array, dict(variables_of(model)))
    if change is not None:
        change(variables["params"])
    batch = nets.batch_of(0) if batch is None else batch
    return find_nonfinite(model, variables, batch, task, **options)


@pytest.mark.thorough
def test_a_sound_step():
    assert find() is None


@pytest.mark.parametrize(
    ("fault", "where", "layer", "kind", "place"),
    [
        ("module", "forward", "block/by_zero", "ByZero", ""),
        ("own code", "forward", "block", "Block", "before second"),
        pytest.param(
            "own end",
            "forward",
            "block",
            "Block",
            "after second",
            marks=pytest.mark.thorough,
        ),
        ("root", "gradient", "block/root", "Root", ""),
        pytest.param(
            "own root",
            "gradient",
            "block",
            "Block",
            "after first",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "state",
            "state",
            "block/mean",
            "Overflowing",
            "",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_fault_within_the_net(fault, where, layer, kind, place):
    found = find(fault)
    assert (found.where, found.layer, found.kind) == (where, layer, kind)
    assert found.place == place
    assert found.variables == ()
    if fault == "root":
        assert found.inputs == (0.0, 0.0)
    elif where != "state":
        assert -100 < found.inputs[0] < found.inputs[1] < 100
    assert layer in str(found)
    assert place in str(found)


def test_the_logarithm_of_zero_in_the_loss():
    def loss(outputs, batch):
        share = jnp.where(jnp.arange(16) == 5, 0.0, nn.softmax(outputs)[:, 0])
        return -jnp.log(share)

    found = find(task=Task(loss, lambda outputs, batch: {}))
    assert (found.where, found.layer, found.examples) == ("loss", "", (5,))
    assert str(found).startswith("The model's outputs are finite, the loss of them is")


@pytest.mark.thorough
def test_a_row_that_does_not_count_is_not_blamed():
    batch = nets.batch_of(0)
    mask = (np.arange(16) != 5).astype(np.float32)

    def loss(outputs, batch):
        return outputs[:, 0] ** 2 + jnp.where(jnp.arange(16) == 5, jnp.inf, 0)

    task = Task(loss, lambda outputs, batch: {})
    assert find(task=task, batch={**batch, "mask": mask}) is None


@pytest.mark.thorough
def test_a_root_in_the_loss():
    task = Task(lambda out, batch: jnp.sqrt(0 * out[:, 0]), lambda out, batch: {})
    found = find(task=task)
    assert (found.where, found.layer) == ("gradient", "")
    assert "the gradient that the loss passes on" in str(found)


@pytest.mark.thorough
def test_a_penalty():
    found = find(penalty=lambda params: jnp.log(0 * params["head"]["bias"].sum()))
    assert found.where == "penalty"


def test_a_parameter_that_is_infinite_already():
    def change(params):
        params["block"]["second"]["kernel"][1, 2] = np.inf

    found = find(change=change)
    assert found.layer == "block/second"
    assert found.variables == ("params/block/second/kernel",)
    assert "not finite before the step: params/block/second/kernel" in str(found)


@pytest.mark.thorough
def test_a_parameter_whose_gradient_alone_overflows():
    def change(params):
        params["head"]["kernel"][:] = 1e-30

    task = Task(lambda out, batch: 1e38 * out[:, 0], lambda out, batch: {})
    batch = nets.batch_of(0)
    wide = {**batch, "image": batch["image"].astype(np.float32) * 1e3}
    found = find(task=task, change=change, batch=wide)
    assert (found.where, found.layer) == ("gradient", "head")


def test_an_infinite_pixel_names_its_example():
    batch = nets.batch_of(0)
    images = batch["image"].astype(np.float32)
    images[11, 2, 3] = np.inf
    found = find(batch={**batch, "image": images})
    assert (found.where, found.layer) == ("forward", "stem")
    assert found.examples == (11,)
    assert found.batch == {"image": (11,)}
    assert "batch['image'] is not finite in example 11" in str(found)


@pytest.mark.thorough
def test_the_randomness_of_the_step_is_used():
    seen = []

    def augment(key, batch):
        seen.append(key)
        noise = jax.random.uniform(key, batch["image"].shape)
        worst = noise == noise.max()
        return {**batch, "image": jnp.where(worst, jnp.nan, batch["image"])}

    examples = [
        find(augment=augment, key=jax.random.key(k)).examples for k in (1, 2, 1)
    ]
    assert examples[0] == examples[2] != examples[1]


class Records(Hook):
    def __init__(self):
        self.records = []

    def on_record(self, loop, record):
        self.records.append(record)


class Poisoned(nets.Batches):
    def __getitem__(self, k):
        batch = super().__getitem__(k)
        images = batch["image"].astype(np.float32) / 255
        images[9] += np.nan if k == 3 else 0
        return {**batch, "image": images}


TX = optax.sgd(0.01)


def run(step, *, donate=False, tx=TX, data=None, task=TASK):
    data, records = Poisoned() if data is None else data, Records()
    state = init_state(Net(), tx, jax.random.key(0), nets.EXAMPLE)
    hooks = [DebugNans(Net(), task, data), records]
    try:
        step = parallelize(step, donate=donate)
        fit(state, step, data, num_steps=6, hooks=hooks)
    finally:
        run.records = records.records
    return records.records


@pytest.mark.thorough
def test_the_run_ends_with_the_cause():
    step = make_train_step(Net(), TX, TASK)
    with pytest.raises(
        NonFiniteError, match=r"after step 4 .*what stem \(Dense\)"
    ) as e:
        run(step)
    assert "in example 9 of the batch" in str(e.value)
    (event,) = run.records
    assert (event["step"], event["action"]) == (4, "stop")
    assert "stem (Dense)" in event["cause"]


@pytest.mark.thorough
def test_a_skipped_step_is_explained_from_the_state_before_it():
    (event,) = run(skip_nonfinite(make_train_step(Net(), TX, TASK)))
    assert event["action"] == "skip"
    assert "batch['image'] is not finite in example 9" in event["cause"]
    assert "before the step" not in event["cause"]


@pytest.mark.thorough
def test_an_update_that_overflows_is_told_from_a_gradient():
    tx = optax.sgd(float("inf"))
    step = make_train_step(Net(), tx, TASK)
    with pytest.raises(NonFiniteError, match="it is the update that is not"):
        run(step, tx=tx, data=nets.Batches())


def test_a_state_that_was_donated_is_refused():
    with pytest.raises(ValueError, match=r"use parallelize\(step, donate=False\)"):
        run(make_train_step(Net(), TX, TASK), donate=True)


def test_a_search_that_fails_does_not_hide_the_step(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no memory")

    monkeypatch.setattr("jaxcnn.train.hooks.debug.find_nonfinite", fail)
    with pytest.raises(NonFiniteError, match=r"after step 4 .*failed: .*no memory"):
        run(make_train_step(Net(), TX, TASK))
