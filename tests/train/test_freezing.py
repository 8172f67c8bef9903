"""Frozen means frozen: parameters, state of the optimizer, statistics, cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct

from jaxcnn.optim import make_optimizer
from jaxcnn.train import (
    Freezing,
    classification,
    in_phases,
    init_state,
    make_train_step,
)
from jaxcnn.tree import flatten_named
from tests.train.nets import EXAMPLE, ConvNet, batch_of

BODY = "^(conv|norm)/"


class Own(nn.Module):
    """A user's block: its own flag, positional, and dropout inside."""

    @nn.compact
    def __call__(self, x, training):
        x = nn.Conv(2, (3, 3), name="conv")(x)
        x = nn.BatchNorm(name="norm")(x, not training)
        return nn.Dropout(0.5)(x, deterministic=not training)


class OwnNet(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = Own(name="early")(x, train)
        x = Own(name="late")(x, train).mean((1, 2))
        return nn.Dense(3, name="head")(x)


def stepped(model, freeze, *, steps=2, **options):
    """Returns the state before and after some steps that decay the weights too."""
    pattern = freeze if isinstance(freeze, str) else options.pop("pattern", None)
    tx = make_optimizer("adamw", 0.1, weight_decay=0.1, freeze=pattern)
    state = before = init_state(model, tx, jax.random.key(0), EXAMPLE)
    step = jax.jit(make_train_step(model, tx, classification(), freeze=freeze))
    for k in range(steps):
        state, _ = step(state, batch_of(k))
    return before, state


def moved(before, after):
    one, two = flatten_named(before), flatten_named(after)
    return {name for name in one if not np.array_equal(one[name], two[name])}


def same(model, freeze, variables, images):
    """Asserts that a model with all of that frozen trains as it evaluates."""
    state = {"batch_stats": variables["batch_stats"]}

    @jax.jit
    def both(variables, images):
        with Freezing(freeze).inference(variables["params"], state):
            train, changed = model.apply(
                variables, images, train=True, mutable=["batch_stats"]
            )
        assert set(changed) <= {"batch_stats"}
        return train, model.apply(variables, images, train=False)

    train, plain = both(variables, images)
    np.testing.assert_allclose(train, plain, rtol=1e-6)


def test_what_is_frozen_stays_statistics_included():
    before, after = stepped(ConvNet(), BODY)
    assert moved(before.params, after.params) == {"head/bias", "head/kernel"}
    assert not moved(before.model_state, after.model_state)
    kept = [x for x in jax.tree.leaves(after.opt_state) if np.ndim(x)]
    assert sum(x.size for x in kept) == 2 * (3 * 4 + 3)  # Adam's moments of the head


@pytest.mark.thorough
def test_statistics_may_adapt():
    freezing = Freezing(BODY, statistics=False)
    before, after = stepped(ConvNet(), freezing, pattern=BODY)
    assert moved(before.params, after.params) == {"head/bias", "head/kernel"}
    assert moved(before.model_state, after.model_state) == {
        "batch_stats/norm/mean",
        "batch_stats/norm/var",
    }


@pytest.mark.thorough
def test_frozen_norms_use_their_running_averages():
    model = ConvNet()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 6, 6, 1)))
    stats = {"norm": {"mean": jnp.full(4, 0.3), "var": jnp.full(4, 2.0)}}
    variables = {**variables, "batch_stats": stats}
    images = jnp.asarray(batch_of(0)["image"] / np.float32(255))
    same(model, BODY, variables, images)


@pytest.mark.thorough
def test_a_users_own_modules_are_frozen_by_their_paths():
    before, after = stepped(OwnNet(), "^early/")
    assert {name.split("/")[0] for name in moved(before.params, after.params)} == {
        "late",
        "head",
    }
    assert {
        name.split("/")[1] for name in moved(before.model_state, after.model_state)
    } == {"late"}


@pytest.mark.thorough
def test_a_users_own_modules_run_as_in_inference():
    model = OwnNet()
    images = jnp.asarray(batch_of(0)["image"] / np.float32(255))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    same(model, "^(early|late)/", variables, images)


@pytest.mark.thorough
def test_no_gradient_of_the_frozen_is_computed():
    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            for k in range(3):
                x = nn.relu(nn.Conv(8, (3, 3), name=f"conv{k}")(x))
            return nn.Dense(3, name="head")(x.mean((1, 2)))

    def flops(freeze):
        tx = make_optimizer("sgd", 0.1, freeze=freeze)
        state = jax.eval_shape(
            lambda: init_state(Deep(), tx, jax.random.key(0), EXAMPLE)
        )
        step = make_train_step(Deep(), tx, classification(), freeze=freeze)
        return jax.jit(step).lower(state, batch_of(0)).cost_analysis()["flops"]

    whole, end, head = flops(None), flops("^conv[01]/"), flops("^conv")
    # Forward alone is a third of forward and backward.
    assert head < 0.4 * whole
    assert head < end < whole


def test_phases_are_a_function_of_the_step():
    def make(value):
        def step(state, batch):
            return state.replace(step=state.step + 1), value

        step.axis_name, step.donates, step.accumulate = None, True, 1
        return step

    class Counter(struct.PyTreeNode):
        step: jax.Array

    step = jax.jit(in_phases([make(jnp.float32(k)) for k in range(3)], [0, 2, 3]))
    found = [float(step(Counter(jnp.int32(k)), {})[1]) for k in range(5)]
    assert found == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("starts", [[1, 2], [0, 0], [0], [0, 3, 2]])
def test_phases_begin_at_0_and_grow(starts):
    with pytest.raises(ValueError, match="Phases must begin at 0"):
        in_phases([None, None], starts)


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="freeze='stem' matches none"):
        Freezing("stem").stopped({"head": {"kernel": jnp.zeros(1)}})
    with pytest.raises(ValueError, match="is no regular expression"):
        make_train_step(ConvNet(), None, classification(), freeze="(")
