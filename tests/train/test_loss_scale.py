import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxcnn
import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import (
    LossScale,
    NonFiniteError,
    Task,
    classification,
    fit,
    init_loss_scale,
    init_state,
    make_mesh,
    make_train_step,
    parallelize,
)

TX = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1, momentum=0.9))
PRODUCTS = Task(
    loss=lambda outputs, batch: outputs[:, 0] * batch["weight"],
    metrics=lambda outputs, batch: {},
)


def scales_after(rule, outcomes):
    values, seen = rule.start(), []
    for good in outcomes:
        values = rule.after(values, jnp.array(good == "g"))
        seen.append(float(values["scale"]))
    return seen


@pytest.mark.parametrize(
    ("outcomes", "scales"),
    [
        ("gggg", [8, 8, 16, 16]),  # the third good step in a row doubles it
        ("ggbggg", [8, 8, 4, 4, 4, 8]),  # an overflow halves it, and counting restarts
        ("ggggggg", [8, 8, 16, 16, 16, 16, 16]),  # not above the maximum
        ("bbbbg", [4, 2, 2, 2, 2]),  # nor below the minimum
    ],
)
def test_the_scale_by_hand(outcomes, scales):
    rule = LossScale(initial=8, growth_interval=3, minimum=2, maximum=16)
    assert scales_after(rule, outcomes) == scales


def test_the_defaults_are_those_of_the_literature():
    values = LossScale().start()
    assert values["scale"] == 2**15
    almost = {**values, "good_steps": jnp.int32(1999)}
    assert LossScale().after(almost, jnp.array(True))["scale"] == 2**16


class Product(nn.Module):
    """One weight, times the image, in float16; and a mean of what it saw."""

    dtype: jnp.dtype = jnp.float16

    @nn.compact
    def __call__(self, x, *, train=False):
        mean = self.variable("stats", "mean", lambda: jnp.zeros(()))
        if train:
            mean.value = 0.5 * (mean.value + x.mean())
        dense = nn.Dense(1, use_bias=False, dtype=self.dtype, name="head")
        return dense(x.reshape(len(x), -1)).astype(jnp.float32)


def product_state(tx, rule, dtype=jnp.float16):
    state = init_state(Product(dtype), tx, jax.random.key(0), jnp.zeros((1, 1, 1, 1)))
    state = state.replace(params={"head": {"kernel": jnp.ones((1, 1))}})
    return init_loss_scale(state, rule)


def product_batch(weight):
    ones = np.ones(2, np.float32)
    return {"image": ones.reshape(2, 1, 1, 1), "weight": weight * ones}


def test_an_overflow_skips_the_update_and_all_else_goes_on():
    rule, tx = LossScale(initial=2**10, growth_interval=2), optax.adam(0.1)
    step = jax.jit(make_train_step(Product(), tx, PRODUCTS, loss_scale=rule))
    state = product_state(tx, rule)
    seen = []
    # The gradient is the weight, times the scale: at most 65,504 in float16.
    for weight in (1.0, 100.0, 100.0, 60.0, 50.0, 1.0, np.inf, 1.0):
        new, metrics = step(state, product_batch(weight))
        skipped = bool(metrics["skipped"].compute())
        seen.append((int(metrics["loss_scale"].compute()), skipped))
        assert metrics["finite"].compute() == 1
        assert new.step == state.step + 1
        parts = [(s.params, s.model_state, s.opt_state) for s in (state, new)]
        if skipped:
            chex.assert_trees_all_equal(*parts)
        else:
            with pytest.raises(AssertionError):
                chex.assert_trees_all_equal(*parts)
        # A finite loss counts even so; one that is not would spoil the average.
        loss = metrics["loss"]
        assert np.isfinite(loss.total)
        assert loss.count == (0 if np.isinf(weight) else 2)
        state = new
    assert seen == [
        (1024, False),
        (1024, True),
        (512, False),
        (512, False),  # the second in a row
        (1024, False),
        (1024, False),  # again
        (2048, True),
        (1024, False),
    ]
    assert (state.extras["loss_scale"]["scale"], state.step) == (1024, 8)


class Weights:
    """Training data of `Product`: every weight in turn."""

    steps_per_epoch = 4

    def __init__(self, *weights):
        self.weights = weights

    def __getitem__(self, k):
        return product_batch(self.weights[k % len(self.weights)])


def test_what_no_scale_can_help_ends_the_run():
    rule = LossScale(initial=4)
    step = make_train_step(Product(), TX, PRODUCTS, loss_scale=rule)
    state = product_state(TX, rule)
    # The scale is 4 at the first bad step, then 2, then 1: the minimum.
    with pytest.raises(NonFiniteError, match=r"not finite after step 4 \(batch 3\)"):
        fit(state, step, Weights(1.0, *[np.nan] * 9), num_steps=10)
    state = fit(product_state(TX, rule), step, Weights(1.0, np.nan), num_steps=4)
    assert np.isfinite(state.params["head"]["kernel"]).all()


def test_an_optimizer_that_overflows_is_not_the_scales_fault():
    tx = optax.GradientTransformation(
        lambda params: (), lambda g, s, p: (jax.tree.map(lambda x: x / 0, g), s)
    )
    rule = LossScale()
    step = make_train_step(Product(), tx, PRODUCTS, loss_scale=rule)
    _, metrics = jax.jit(step)(product_state(tx, rule), product_batch(1.0))
    assert metrics["finite"].compute() == 0
    assert metrics["skipped"].compute() == 0


def test_a_gradient_that_float16_cannot_hold_survives():
    weight, tx = 2.0**-27, optax.sgd(1.0)  # below 2**-24, the smallest of float16

    def moved(rule):
        step = make_train_step(Product(), tx, PRODUCTS, loss_scale=rule)
        state = product_state(tx, None)
        state, _ = jax.jit(step)(
            state.replace(params={"head": {"kernel": jnp.zeros((1, 1))}}),
            product_batch(weight),
        )
        return float(state.params["head"]["kernel"][0, 0])

    assert moved(None) == 0
    assert moved(LossScale()) == -weight


@pytest.mark.parametrize(
    "model",
    [nets.Linear(3), pytest.param(nets.ConvNet(), marks=pytest.mark.thorough)],
)
def test_in_float32_scaling_changes_no_bit(model):
    def trained(**options):
        step = jax.jit(make_train_step(model, TX, classification(), **options))
        state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
        if options:
            state = init_loss_scale(state, options["loss_scale"])
        for k in range(5):
            state, metrics = step(state, nets.batch_of(k))
        return state, metrics

    plain, metrics = trained()
    rule = LossScale(growth_interval=2)
    scaled, others = trained(loss_scale=rule)
    assert scaled.extras["loss_scale"]["scale"] == 2**17
    nets.assert_same(plain, scaled.replace(extras={}))
    for name, mean in metrics.items():
        assert mean.compute() == others[name].compute()


def faulty(k, size=32):
    """Batch k, which at 1 holds one image that is not a number."""
    batch = nets.batch_of(k, size)
    batch["image"] = batch["image"].astype(np.float32) / 255
    if k == 1:
        batch["image"][5] = np.nan
    return batch


@pytest.mark.thorough
def test_all_devices_skip_the_same_step_of_microbatches():
    rule = LossScale(growth_interval=2)

    def trained(how, axis_name=None):
        model = nets.ConvNet(axis_name=axis_name)
        step = make_train_step(
            model,
            TX,
            classification(),
            accumulate=2,
            loss_scale=rule,
            axis_name=axis_name,
        )
        step, seen = parallelize(step, how), []
        state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
        state = init_loss_scale(state, rule)
        for k in range(4):
            state, metrics = step(state, faulty(k))
            seen.append(float(metrics["skipped"].compute()))
            assert metrics["finite"].compute() == 1
        return state, seen

    one, skipped = trained("jit")
    assert skipped == [0, 1, 0, 0]
    assert one.extras["loss_scale"]["scale"] == 2**15  # halved, and doubled again
    for how, axis_name in [(make_mesh(), None), ("pmap", "batch")]:
        many, others = trained(how, axis_name)
        assert others == skipped
        nets.assert_close(one, many, atol=1e-5)


def test_a_resumed_run_keeps_the_scale(tmp_path):
    rule = LossScale(initial=2**10, growth_interval=3)
    step = parallelize(make_train_step(Product(), TX, PRODUCTS, loss_scale=rule))
    data = Weights(1.0, 200.0, 1.0, 1.0, 1.0)
    whole = fit(product_state(TX, rule), step, data, num_steps=9)
    half = fit(product_state(TX, rule), step, data, num_steps=4)
    assert half.extras["loss_scale"]["good_steps"] == 2
    assert half.extras["loss_scale"]["scale"] == 2**9
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(4, half)
        checkpoints.wait()
        restored = checkpoints.restore(product_state(TX, rule)).state
    nets.assert_same(whole, fit(restored, step, data, num_steps=9))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_all_but_the_computation_is_float32(dtype):
    model = jaxcnn.create_model("cnn", features=(4,), norm="batch", dtype=dtype)
    seen, plain = {}, classification()

    def loss(outputs, batch):
        seen.update(logits=outputs.dtype, loss=plain.loss(outputs, batch).dtype)
        return plain.loss(outputs, batch)

    tx = optax.adam(1e-3)
    step = make_train_step(
        model,
        tx,
        plain._replace(loss=loss),
        accumulate=2,
        loss_scale=LossScale(),
    )
    example = jax.ShapeDtypeStruct((1, 12, 12, 1), jnp.uint8)
    state = init_loss_scale(init_state(model, tx, jax.random.key(0), example))
    batch = {
        "image": jax.ShapeDtypeStruct((4, 12, 12, 1), jnp.uint8),
        "label": jax.ShapeDtypeStruct((4,), jnp.int32),
    }
    traced = jax.jit(step).trace(state, batch)
    new, metrics = traced.out_info
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    floats = [new.params, new.model_state, new.opt_state, new.extras, metrics, seen]
    kinds = {jnp.dtype(getattr(x, "dtype", x)) for x in jax.tree.leaves(floats)}
    assert kinds == {jnp.dtype("float32"), jnp.dtype("int32")}  # Adam's and our counts
    short = {"bfloat16": "bf16", "float16": "f16"}[dtype]
    convolutions = [
        line for line in str(traced.jaxpr).splitlines() if "conv_general" in line
    ]
    assert convolutions
    assert all(f"{short}[" in line for line in convolutions)


def test_a_state_without_a_scale():
    step = make_train_step(nets.Linear(3), TX, classification(), loss_scale=LossScale())
    state = init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)
    with pytest.raises(ValueError, match=r"no 'loss_scale', .* init_loss_scale\(state"):
        step(state, nets.batch_of(0))


def test_a_step_without_scaling_leaves_the_scale_alone():
    step = make_train_step(nets.Linear(3), TX, classification())
    state = init_state(nets.Linear(3), TX, jax.random.key(0), nets.EXAMPLE)
    new, metrics = jax.jit(step)(init_loss_scale(state), nets.batch_of(0))
    assert new.extras["loss_scale"]["scale"] == 2**15
    assert "skipped" not in metrics


def test_an_optimizer_with_a_key_can_be_skipped():
    tx = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(1)), optax.sgd(0.1))
    step = make_train_step(nets.Linear(3), tx, classification(), loss_scale=LossScale())
    state = init_state(nets.Linear(3), tx, jax.random.key(0), nets.EXAMPLE)
    shapes = functools.partial(jax.tree.map, jnp.shape)
    new, _ = jax.eval_shape(step, init_loss_scale(state), nets.batch_of(0))
    assert shapes(new.opt_state) == shapes(state.opt_state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 1000.0}, r"initial must be a power of two, got 1000\.0"),
        ({"minimum": 0.0}, r"minimum must be a power of two, got 0\.0"),
        ({"maximum": float("inf")}, "maximum must be a power of two, got inf"),
        ({"initial": "big"}, "initial must be a number of at least 0, got 'big'"),
        ({"factor": 1.0}, r"factor must be above 1, got 1\.0"),
        ({"initial": 2.0, "minimum": 4.0}, r"got 4\.0, 2\.0 and 16777216\.0"),
        ({"growth_interval": 0}, "growth_interval must be a whole number .* got 0"),
    ],
)
def test_a_rule_that_is_none(options, message):
    with pytest.raises(ValueError, match=message):
        LossScale(**options)
