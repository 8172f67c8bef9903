import chex
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
)

TX = optax.sgd(0.1, momentum=0.9)


def noise(key, batch):
    """An augmentation with a key an example, folded from its global position."""
    keys = jax.vmap(lambda p: jax.random.fold_in(key, p))(batch["position"])
    shape = batch["image"].shape[1:]
    noises = jax.vmap(lambda k: 0.1 * jax.random.normal(k, shape))(keys)
    return {**batch, "image": batch["image"] + noises}


def train(how, *, dropout=0.0, axis_name=None, steps=5, augment=noise):
    model = nets.ConvNet(dropout, axis_name)
    step = make_train_step(
        model, TX, classification(), augment=augment, axis_name=axis_name
    )
    step = parallelize(step, how)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(steps):
        state, metrics = step(state, nets.batch_of(k))
    return state, {name: float(mean.compute()) for name, mean in metrics.items()}


def test_jit_mesh_and_synchronised_pmap_agree():
    one, metrics = train("jit")
    for how, axis_name in [(make_mesh(), None), ("pmap", "batch")]:
        state, other = train(how, axis_name=axis_name)
        nets.assert_close(one, state, atol=1e-5)
        assert other == pytest.approx(metrics, abs=1e-5)


@pytest.mark.thorough
def test_shard_map_of_the_step_agrees():
    model = nets.ConvNet(axis_name="data")
    step = make_train_step(model, TX, classification(), augment=noise, axis_name="data")
    replicated, split = PartitionSpec(), PartitionSpec("data")
    step = jax.shard_map(
        step,
        mesh=make_mesh(),
        in_specs=(replicated, split),
        out_specs=(replicated, replicated),
    )
    step = jax.jit(step)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(5):
        state, _ = step(state, nets.batch_of(k))
    nets.assert_close(train("jit")[0], state, atol=1e-5)


@pytest.mark.thorough
def test_with_dropout_jit_and_mesh_agree():
    one, _ = train("jit", dropout=0.5)
    many, _ = train(make_mesh(), dropout=0.5)
    nets.assert_close(one, many, atol=1e-5)


class Masks(nn.Module):
    """Keeps its dropout mask in a collection, which the step averages over devices."""

    @nn.compact
    def __call__(self, x, *, train=False):
        ones = jnp.ones(16)
        mask = self.variable("masks", "mask", lambda: ones)
        if train:
            mask.value = nn.Dropout(0.5, deterministic=False)(ones)
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


@pytest.mark.thorough
def test_under_pmap_the_dropout_masks_differ_per_device():
    step = make_train_step(Masks(), TX, classification(), axis_name="batch")
    state = init_state(Masks(), TX, jax.random.key(0), nets.EXAMPLE)
    state, _ = parallelize(step, "pmap")(state, nets.batch_of(0))
    mean = np.asarray(state.model_state["masks"]["mask"])
    # One mask on all devices would average to 0 or 2 exactly.
    assert np.any((mean > 0.01) & (mean < 1.99))


@pytest.mark.thorough
def test_unsynchronised_pmap_has_local_statistics():
    synchronised, _ = train("pmap", axis_name="batch")
    model = nets.ConvNet()
    step = make_train_step(
        model, TX, classification(), augment=noise, axis_name="batch"
    )
    step = parallelize(step, "pmap")
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(5):
        state, _ = step(state, nets.batch_of(k))
    difference = jnp.abs(
        state.params["conv"]["kernel"] - synchronised.params["conv"]["kernel"]
    )
    assert difference.max() > 1e-4


class Counter(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        calls = self.variable("counters", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value += 1
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


def test_under_pmap_integers_in_the_models_state_stay_integers():
    step = make_train_step(Counter(), TX, classification(), axis_name="batch")
    step = parallelize(step, "pmap")
    state = init_state(Counter(), TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(2):
        state, _ = step(state, nets.batch_of(k))
    calls = state.model_state["counters"]["calls"]
    assert (calls.dtype, int(calls)) == (jnp.int32, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["jit", "mesh", "pmap"])
def test_evaluation_agrees_on_all_devices(how):
    model = nets.ConvNet()
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    axis_name = "batch" if how == "pmap" else None
    step = make_eval_step(model, classification(), axis_name=axis_name)
    step = parallelize(step, make_mesh() if how == "mesh" else how)
    batch = nets.batch_of(0)
    batch["mask"] = np.repeat([1.0, 0.0], [11, 5]).astype(np.float32)
    metrics = step(state, batch)
    plain = make_eval_step(model, classification())(state, batch)
    for name in plain:
        np.testing.assert_allclose(metrics[name].total, plain[name].total, rtol=1e-5)
        assert metrics[name].count == 11
    assert not state.step.is_deleted()


def test_a_train_step_donates_and_an_own_step_does_not():
    state = init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)
    own = parallelize(lambda state, batch: (state, {}), "jit")
    own(state, nets.batch_of(0))
    assert not state.step.is_deleted()
    step = parallelize(make_train_step(nets.Linear(3), TX, classification()))
    step(state, nets.batch_of(0))
    assert state.params["head"]["kernel"].is_deleted()


def test_placed_and_plain_batches_give_the_same_and_compile_once():
    model = nets.Linear(3)
    step = make_train_step(model, TX, classification())
    traced = chex.assert_max_traces(step, n=1)
    parallel = parallelize(traced, make_mesh(), donate=False)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    one, _ = parallel(state, nets.batch_of(0))
    two, _ = parallel(state, parallel.place(nets.batch_of(0)))
    three, _ = parallel(one, parallel.place(nets.batch_of(1)))
    nets.assert_same(one, two)
    assert three.step == 2


@pytest.mark.parametrize(
    ("how", "options", "message"),
    [
        ("pmpa", {}, r"got 'pmpa'. Did you mean 'pmap'\?"),
        ("pmap", {}, "needs a step made with axis_name"),
    ],
)
def test_bad_arguments(how, options, message):
    step = make_train_step(nets.Linear(3), TX, classification())
    with pytest.raises(ValueError, match=message):
        parallelize(step, how, **options)


@pytest.mark.parametrize("how", ["mesh", "pmap"])
def test_a_batch_that_does_not_split_is_refused(how):
    model = nets.Linear(3)
    step = make_train_step(model, TX, classification(), axis_name="batch")
    step = parallelize(step, make_mesh() if how == "mesh" else how)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    with pytest.raises(ValueError, match="batch of 12 cannot be split over 8 devices"):
        step(state, nets.batch_of(0, 12))


@pytest.mark.parametrize("devices", [0, 9])
def test_a_mesh_of_devices_that_are_not_there(devices):
    with pytest.raises(
        ValueError, match=rf"devices must be in \[1, 8\], got {devices}"
    ):
        make_mesh(devices)
