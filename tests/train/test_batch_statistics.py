"""Batch statistics over groups: the same numbers however the devices are shared."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec

import tests.train.nets as nets
from jaxcnn.train import (
    classification,
    init_state,
    make_eval_step,
    make_mesh,
    make_train_step,
    parallelize,
    with_batch_statistics,
)

TX = optax.sgd(0.1, momentum=0.9)
MODEL = nets.ConvNet()


def train_step(axis_name=None, model=MODEL):
    return make_train_step(model, TX, classification(), axis_name=axis_name)


@functools.cache
def made(model):
    return init_state(model, TX, jax.random.key(0), nets.EXAMPLE)


def start(model=MODEL):
    """Returns the state before the first step, to be donated."""
    return jax.tree.map(lambda x: x.copy(), made(model))


def trained(step, steps=3):
    state = start()
    for k in range(steps):
        state, _ = step(state, nets.batch_of(k))
    return state


class Norm(nn.Module):
    """One BatchNorm, so that its statistics are worked out by hand."""

    axis_name: str | None = None
    frozen: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        norm = nn.BatchNorm(momentum=0.75, axis_name=self.axis_name, name="norm")
        x = norm(x, use_running_average=self.frozen or not train)
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


def outputs(over, x, model=None):
    """Returns what the model gives for a batch in training, and its new averages."""
    model = model or Norm()
    variables = jax.jit(model.init)(jax.random.key(0), x)
    step = with_batch_statistics(
        lambda state, batch: model.apply(
            state, batch, train=True, mutable=["batch_stats"]
        ),
        over,
    )
    return step(variables, x)


@pytest.mark.thorough
def test_each_group_is_normalised_by_itself():
    x = jax.random.normal(jax.random.key(1), (8, 2, 2, 3)) + 2
    logits, updated = outputs(4, x)
    for rows in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(
            logits[rows], outputs("global", x[rows])[0], atol=1e-5
        )
    groups = x.reshape(2, -1, 3)
    found = updated["batch_stats"]["norm"]
    np.testing.assert_allclose(
        found["mean"], 0.25 * groups.mean(axis=1).mean(axis=0), atol=1e-6
    )
    np.testing.assert_allclose(
        found["var"], 0.75 + 0.25 * groups.var(axis=1).mean(axis=0), atol=1e-5
    )


def test_one_group_is_the_global_batch_bit_for_bit():
    x = jax.random.normal(jax.random.key(1), (8, 2, 2, 3))
    one, two = outputs("8", x), outputs("global", x)
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.thorough
def test_a_step_with_one_group_is_that_of_the_global_batch_bit_for_bit():
    step = with_batch_statistics(train_step(), 16)
    one = jax.jit(train_step())(start(), nets.batch_of(0))[0]
    nets.assert_same(one, jax.jit(step)(start(), nets.batch_of(0))[0])


@pytest.fixture(scope="module")
def eight_groups():
    """A state after steps with groups of two examples, on one device."""
    return trained(parallelize(with_batch_statistics(train_step(), 2)))


def by_device(mesh):
    step = with_batch_statistics(train_step(), "device", mesh=mesh)
    return parallelize(step, mesh)


def by_shard_map(mesh):
    whole, split = PartitionSpec(), PartitionSpec("data")
    return jax.jit(
        jax.shard_map(
            train_step("data"),
            mesh=mesh,
            in_specs=(whole, split),
            out_specs=(whole, whole),
        )
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    "make",
    [
        by_device,
        lambda mesh: parallelize(train_step("batch"), "pmap"),
        pytest.param(by_shard_map, marks=pytest.mark.thorough),
    ],
    ids=["mesh", "pmap", "shard_map"],
)
def test_the_statistics_of_each_device_are_those_of_as_many_groups(make, eight_groups):
    nets.assert_close(eight_groups, trained(make(make_mesh())), atol=1e-5)


@pytest.mark.thorough
def test_the_statistics_of_groups_are_not_those_of_the_batch(eight_groups):
    difference = (
        eight_groups.params["conv"]["kernel"]
        - (trained(parallelize(train_step())).params["conv"]["kernel"])
    )
    assert jnp.abs(difference).max() > 1e-4


@pytest.mark.thorough
@pytest.mark.parametrize("over", [2, 4, 8])
@pytest.mark.parametrize("shard", [None, 16])
def test_groups_are_the_same_on_any_number_of_devices(over, shard):
    one = trained(parallelize(with_batch_statistics(train_step(), over)))
    mesh = make_mesh({"data": 2, "fsdp": 4})
    step = with_batch_statistics(train_step(), over, mesh=mesh)
    state = trained(parallelize(step, mesh, shard=shard))
    nets.assert_close(one, state, atol=1e-5)


@pytest.mark.thorough
def test_groups_within_microbatches():
    """Two microbatches of 16, each in groups of two: on eight devices and on one."""
    plain, mesh = (
        make_train_step(MODEL, TX, classification(), accumulate=2),
        make_mesh(),
    )
    states = []
    for step in (
        parallelize(with_batch_statistics(plain, 2)),
        parallelize(with_batch_statistics(plain, "device", mesh=mesh), mesh),
    ):
        state = start()
        for k in range(3):
            state, _ = step(state, nets.batch_of(k, 32))
        states.append(state)
    nets.assert_close(*states, atol=1e-5)


@pytest.mark.thorough
def test_groups_within_each_device_of_pmap():
    """Each device's share of two examples holds two groups of one."""
    step = with_batch_statistics(train_step("batch"), 1)
    one = trained(parallelize(with_batch_statistics(train_step(), 1)))
    nets.assert_close(one, trained(parallelize(step, "pmap")), atol=1e-5)


def test_by_device_no_statistics_travel_between_devices():
    """In a forward pass alone, whatever the compiler adds would be for statistics."""
    mesh = make_mesh()

    def forward(state, batch):
        return MODEL.apply(state, batch, train=True, mutable=["batch_stats"])[0]

    image = jnp.zeros((16, 6, 6, 1))
    variables = jax.jit(MODEL.init)(jax.random.key(0), image)
    found = {}
    for over in ("global", "device"):
        step = with_batch_statistics(forward, over, mesh=mesh)
        split = jax.sharding.NamedSharding(mesh, PartitionSpec("data"))
        step = jax.jit(step, in_shardings=(None, split), out_shardings=split)
        text = step.lower(variables, image).compile().as_text()
        pattern = r" (all-\w+|reduce-scatter|collective-permute)(-start)?\("
        found[over] = len(re.findall(pattern, text))
    assert found["global"] > 0
    assert found["device"] == 0


def test_evaluation_is_left_alone():
    plain = make_eval_step(MODEL, classification())
    one, two = (
        jax.jit(step)(start(), nets.batch_of(0))
        for step in (plain, with_batch_statistics(plain, 4))
    )
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_a_frozen_layer_is_left_alone():
    x = jax.random.normal(jax.random.key(1), (8, 2, 2, 3))
    one, two = (outputs(over, x, Norm(frozen=True)) for over in (4, "global"))
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.thorough
def test_a_mask_of_batch_norm_is_split_like_its_input():
    class Masked(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            mask = jnp.arange(len(x))[:, None] % 2 == 0
            return nn.BatchNorm(use_running_average=not train)(x, mask=mask)

    x = jax.random.normal(jax.random.key(1), (8, 3))
    found, _ = outputs(4, x, Masked())
    for rows in (slice(0, 4), slice(4, 8)):
        kept = x[rows][::2]
        wanted = (x[rows] - kept.mean(0, keepdims=True)) / jnp.sqrt(
            kept.var(0, keepdims=True) + 1e-5
        )
        np.testing.assert_allclose(found[rows], wanted, rtol=1e-3)


@pytest.mark.thorough
def test_rows_under_a_mask_count_in_the_statistics_alone():
    batch = nets.batch_of(0)
    masked = {**batch, "mask": np.repeat([1.0, 0.0], 8).astype(np.float32)}
    step = jax.jit(with_batch_statistics(train_step(), 4))
    (one, whole), (two, part) = step(start(), batch), step(start(), masked)
    for name in ("mean", "var"):
        np.testing.assert_array_equal(
            one.model_state["batch_stats"]["norm"][name],
            two.model_state["batch_stats"]["norm"][name],
        )
    assert (whole["loss"].count, part["loss"].count) == (16, 8)


def test_the_wrapped_step_is_still_a_train_step():
    step = with_batch_statistics(train_step("batch"), 4)
    assert (step.axis_name, step.donates) == ("batch", True)


@pytest.mark.parametrize("over", ["devise", "0", 0, -1, 2.5, True, ""])
def test_unknown_statistics_are_refused(over):
    with pytest.raises(ValueError, match="are 'global', by 'device', or over groups"):
        with_batch_statistics(train_step(), over)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="over each 'device' need the mesh"):
        with_batch_statistics(train_step(), "device")
    x = jnp.zeros((6, 2, 2, 3))
    with pytest.raises(ValueError, match=r"groups of 4 need a batch .* got one of 6"):
        outputs(4, x)
    with pytest.raises(ValueError, match="without axis_name, got 'i' in norm"):
        outputs(2, x, Norm(axis_name="i"))
    step = with_batch_statistics(train_step(), "device", mesh=make_mesh())
    with pytest.raises(ValueError, match=r"over 8 devices need a batch .* one of 12"):
        jax.eval_shape(step, start(), nets.batch_of(0, 12))
