import functools
import re

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
    Task,
    classification,
    init_state,
    make_mesh,
    make_train_step,
    parallelize,
)
from jaxcnn.train import step as step_module
from jaxcnn.train.accumulate import accumulated

TX = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1, momentum=0.9))


@pytest.fixture(
    params=[True, pytest.param(False, marks=pytest.mark.thorough)],
    ids=["unrolled", "loop"],
)
def form(request, monkeypatch):
    """Makes the steps of a test of one form, whatever the platform."""
    chosen = functools.partial(accumulated, unroll=request.param)
    monkeypatch.setattr(step_module, "accumulated", chosen)
    return request.param


class TwoHeads(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(len(x), -1)
        logits, aux = nn.Dense(3, name="head")(x), nn.Dense(3, name="aux")(x)
        return {"logits": logits, "aux": [aux]}


def noise(key, batch):
    keys = jax.vmap(lambda p: jax.random.fold_in(key, p))(batch["position"])
    noises = jax.vmap(lambda k: 0.1 * jax.random.normal(k, (6, 6, 1)))(keys)
    return {**batch, "image": batch["image"] + noises}


@pytest.mark.thorough
def test_the_update_is_that_of_the_whole_batch(form):
    """Under everything that could be averaged wrongly, in microbatches that differ."""
    task = classification(
        class_weights=(1.0, 5.0, 0.2), label_smoothing=0.1, top_k=2, per_class=True
    )
    batch = nets.batch_of(0)
    # Of the four microbatches one has all of its rows, one has none.
    batch["mask"] = np.tile([1.0, 1.0, 0.5, 0.0], 4).astype(np.float32)
    batch["mask"][:4] = [1, 0, 0.25, 0]
    model = TwoHeads()
    make = functools.partial(
        make_train_step,
        model,
        TX,
        task,
        augment=noise,
        penalty=lambda params: 0.1 * optax.tree.norm(params, squared=True),
    )
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    whole, metrics = jax.jit(make())(state, batch)
    parts, others = jax.jit(make(accumulate=4))(state, batch)
    nets.assert_close(whole, parts, atol=1e-7)
    before, after = (s.params["head"]["kernel"] for s in (state, whole))
    assert jnp.abs(after - before).max() > 1e-3
    assert others.keys() == metrics.keys()
    for name, mean in metrics.items():
        np.testing.assert_allclose(
            others[name].compute(), mean.compute(), rtol=1e-6, err_msg=name
        )
    assert others["accuracy"].count == metrics["accuracy"].count == batch["mask"].sum()


class Running(nn.Module):
    """Keeps the mean of its images, half of the old and half of the new."""

    @nn.compact
    def __call__(self, x, *, train=False):
        mean = self.variable("stats", "mean", lambda: jnp.zeros(()))
        calls = self.variable("stats", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            mean.value = 0.5 * mean.value + 0.5 * x.mean()
            calls.value += 1
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


@pytest.mark.thorough
def test_collections_pass_from_microbatch_to_microbatch(form):
    step = make_train_step(Running(), TX, classification(), accumulate=2)
    images = np.array([1.0, 10, 2, 20], np.float32).reshape(4, 1, 1, 1)
    state = init_state(Running(), TX, jax.random.key(0), images)
    batch = {"image": images, "label": np.zeros(4, np.int32)}
    state, _ = jax.jit(step)(state, batch)
    # Microbatches of rows 0, 2 and 1, 3, with means 1.5 and 15.
    assert state.model_state["stats"]["mean"] == 0.5 * (0.5 * 1.5) + 0.5 * 15
    assert state.model_state["stats"]["calls"] == 2


class Masks(nn.Module):
    """Keeps the dropout masks of the last two calls."""

    @nn.compact
    def __call__(self, x, *, train=False):
        masks = self.variable("masks", "last", lambda: jnp.zeros((2, 16)))
        if train:
            mask = nn.Dropout(0.5, deterministic=False)(jnp.ones(16))
            masks.value = jnp.stack([masks.value[1], mask])
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


@pytest.mark.thorough
def test_dropout_is_a_function_of_seed_step_and_microbatch():
    step = jax.jit(make_train_step(Masks(), TX, classification(), accumulate=2))
    state = init_state(Masks(), TX, jax.random.key(0), nets.EXAMPLE)
    one, again = (step(state, nets.batch_of(0))[0] for _ in range(2))
    later, _ = step(one, nets.batch_of(0))
    masks = [np.asarray(s.model_state["masks"]["last"]) for s in (one, again, later)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert len({mask.tobytes() for mask in (*masks[0], *masks[2])}) == 4


@pytest.mark.thorough
@pytest.mark.parametrize(
    "model",
    [Masks(), pytest.param(nets.ConvNet(dropout=0.5), marks=pytest.mark.thorough)],
)
def test_both_forms_give_the_same(model, monkeypatch):
    """With dropout and batch norm, whose microbatches follow one another."""
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    results = []
    for unroll in (True, False):
        chosen = functools.partial(accumulated, unroll=unroll)
        monkeypatch.setattr(step_module, "accumulated", chosen)
        step = make_train_step(model, TX, classification(), accumulate=4)
        results.append(jax.jit(step)(state, nets.batch_of(0)))
    nets.assert_close(results[0][0], results[1][0], atol=1e-7)
    chex.assert_trees_all_close(results[0][1], results[1][1], rtol=1e-6)


def test_the_platform_that_is_compiled_for_chooses_the_form():
    step = make_train_step(nets.Linear(3), TX, classification(), accumulate=2)
    state = init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)
    traced = jax.jit(step).trace(state, nets.batch_of(0))
    loops = {
        platform: "stablehlo.while"
        in traced.lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert loops == {"cpu": False, "cuda": True, "tpu": True}


def trained(how, accumulate=2, axis_name=None, steps=2):
    model = nets.ConvNet(axis_name=axis_name)
    step = make_train_step(
        model,
        TX,
        classification(),
        augment=noise,
        accumulate=accumulate,
        axis_name=axis_name,
    )
    if how == "shard_map":
        whole, split = PartitionSpec(), PartitionSpec(axis_name)
        step = jax.jit(
            jax.shard_map(
                step,
                mesh=make_mesh(axis_name=axis_name),
                in_specs=(whole, split),
                out_specs=(whole, whole),
            )
        )
    else:
        step = parallelize(step, how)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(steps):
        state, metrics = step(state, nets.batch_of(k, 32))
    return state, {name: float(mean.compute()) for name, mean in metrics.items()}


@pytest.mark.thorough
def test_jit_mesh_pmap_and_shard_map_agree():
    one, metrics = trained("jit")
    for how, axis_name in [(make_mesh(), None), ("pmap", "b"), ("shard_map", "b")]:
        state, other = trained(how, axis_name=axis_name)
        nets.assert_close(one, state, atol=1e-5)
        assert other == pytest.approx(metrics, abs=1e-5)
    whole, _ = trained("jit", accumulate=1)
    difference = whole.params["conv"]["kernel"] - one.params["conv"]["kernel"]
    assert jnp.abs(difference).max() > 1e-4  # batch statistics are the microbatch's


def test_unsynchronised_statistics_pass_through_a_loop_of_shard_map(form):
    """They enter alike on all devices and leave differing: a loop must allow it."""
    step = make_train_step(
        nets.ConvNet(), TX, classification(), accumulate=2, axis_name="b"
    )
    whole, split = PartitionSpec(), PartitionSpec("b")
    step = jax.shard_map(
        step,
        mesh=make_mesh(axis_name="b"),
        in_specs=(whole, split),
        out_specs=(whole, whole),
    )
    state = init_state(nets.ConvNet(), TX, jax.random.key(0), nets.EXAMPLE)
    new, _ = jax.eval_shape(step, state, nets.batch_of(0))
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)


@pytest.mark.parametrize("unroll", [True, False])
def test_over_a_mesh_nothing_of_the_batch_moves(unroll, monkeypatch):
    chosen = functools.partial(accumulated, unroll=unroll)
    monkeypatch.setattr(step_module, "accumulated", chosen)
    model = nets.Linear(3)
    step = make_train_step(model, TX, classification(), accumulate=2)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    compiled = parallelize(step, make_mesh()).compiled
    text = compiled.lower(state, nets.batch_of(0)).compile().as_text()
    moves = re.findall(
        r" (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\(", text
    )
    assert set(moves) == {"all-reduce"}  # of sums: gradients, loss, metrics


@pytest.mark.thorough
def test_a_loop_keeps_the_activations_of_one_microbatch(monkeypatch):
    monkeypatch.setattr(
        step_module, "accumulated", functools.partial(accumulated, unroll=False)
    )
    model = nets.ConvNet()
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)

    def temporary_bytes(accumulate):
        step = make_train_step(model, TX, classification(), accumulate=accumulate)
        lowered = jax.jit(step).lower(state, nets.batch_of(0, 512))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(8) < temporary_bytes(1) / 3


def test_a_step_is_traced_once():
    step = make_train_step(nets.Linear(3), TX, classification(), accumulate=2)
    step = jax.jit(chex.assert_max_traces(step, n=1))
    state = init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)
    for k in range(2):
        state, _ = step(state, nets.batch_of(k))
    assert state.step == 2


def test_numbers_of_the_whole_batch_go_to_every_microbatch():
    def augment(key, batch):
        return {**batch, "share": jnp.float32(0.25)}

    task = Task(
        loss=lambda outputs, batch: outputs[:, 0] * batch["share"],
        metrics=lambda outputs, batch: {},
    )
    model, tx = nets.Linear(), optax.sgd(1.0)
    state = init_state(model, tx, jax.random.key(0), jnp.zeros((1, 1, 1, 1)))
    batch = {"image": jnp.ones((4, 1, 1, 1))}
    step = make_train_step(model, tx, task, augment=augment, accumulate=2)
    new, _ = jax.jit(step)(state, batch)
    moved = new.params["head"]["kernel"] - state.params["head"]["kernel"]
    np.testing.assert_allclose(moved, [[-0.25]], rtol=1e-6)


@pytest.mark.parametrize(
    ("accumulate", "given"), [(0, "0"), (-2, "-2"), (2.0, r"2\.0"), (True, "True")]
)
def test_a_number_of_microbatches_that_is_none(accumulate, given):
    with pytest.raises(
        ValueError,
        match=f"accumulate must be a whole number of at least 1, got {given}",
    ):
        make_train_step(nets.Linear(), TX, classification(), accumulate=accumulate)


@pytest.mark.parametrize(
    ("how", "accumulate", "message"),
    [
        ("jit", 3, "A batch of 16 cannot be split into 3 microbatches evenly"),
        ("mesh", 4, "A batch of 16 cannot be split over 8 devices in 4 microbatches"),
        ("pmap", 4, "A batch of 2 on each device cannot be split into 4 microbatches"),
    ],
)
def test_a_batch_that_does_not_split(how, accumulate, message):
    model = nets.Linear(3)
    axis_name = "b" if how == "pmap" else None
    step = make_train_step(
        model, TX, classification(), accumulate=accumulate, axis_name=axis_name
    )
    step = parallelize(step, make_mesh() if how == "mesh" else how)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    with pytest.raises(ValueError, match=message):
        step(state, step.place(nets.batch_of(0)))


def test_an_array_of_other_rows():
    model = nets.Linear(3)
    step = make_train_step(model, TX, classification(), accumulate=2)
    state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    batch = {**nets.batch_of(0), "anchors": np.zeros((4, 2), np.float32)}
    with pytest.raises(
        ValueError, match=r"batch has 16, and one of its arrays is \[4, 2\]"
    ):
        step(state, batch)


def test_collections_that_grow_are_refused(form):
    class Growing(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            self.sow("seen", "mean", x.mean())
            return nn.Dense(3, name="head")(x.reshape(len(x), -1))

    state = init_state(Growing(), TX, jax.random.key(0), nets.EXAMPLE)
    step = make_train_step(Growing(), TX, classification(), accumulate=2)
    with pytest.raises(ValueError, match=r"collections must keep .*seen/mean/1"):
        step(state, nets.batch_of(0))
