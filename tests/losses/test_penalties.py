import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.losses import make_penalty
from jaxcnn.optim import make_optimizer
from jaxcnn.train import classification, init_state, make_train_step

PARAMS = {
    "conv1": {"kernel": jnp.array([[3.0, -4.0]]), "bias": jnp.array([10.0])},
    "norm": {"scale": jnp.array([5.0])},
    "head": {"kernel": jnp.array([-2.0])},
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"l1": 0.1}, 0.1 * (7 + 2)),
        ({"l2": 0.1}, 0.05 * (25 + 4)),
        ({"l1": 0.1, "l2": 0.2}, 0.1 * 9 + 0.1 * 29),
        ({"l1": 1, "pattern": "bias$"}, 10),
        ({"l1": 1.0, "pattern": ""}, 24),
        ({"rules": {"^head/": {"l2": 1.0}}}, 2),
        ({"rules": {"^head/": {"l1": 1.0}, "scale$": {"l2": 2.0, "l1": 1.0}}}, 32),
        # What several rules match, each counts.
        ({"l1": 1.0, "rules": {"^head/": {"l1": 0.5}}}, 10),
    ],
)
def test_value(options, expected):
    value = make_penalty(**options)(PARAMS)
    assert value.shape == ()
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_gradient_by_hand():
    params = {"conv": {"kernel": jnp.array([3.0, -4.0, 0.0]), "bias": jnp.ones(1)}}
    slope = jax.grad(make_penalty(l1=0.1, l2=0.5))(params)
    np.testing.assert_allclose(slope["conv"]["kernel"], [1.6, -2.1, 0.0], rtol=1e-6)
    assert slope["conv"]["bias"] == 0


def test_bfloat16_is_summed_in_float32():
    value = make_penalty(l1=1.0)({"kernel": jnp.ones(1001, jnp.bfloat16)})
    assert value == 1001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "A penalty needs a strength: give l1, l2 or rules"),
        ({"l1": -0.1}, "l1 of the penalty must be a finite number of 0 or more"),
        ({"l2": float("nan")}, "l2 of the penalty must be a finite number"),
        ({"l2": "x"}, "l2 of the penalty must be a finite number .* got 'x'"),
        ({"l1": 1.0, "pattern": "("}, r"pattern '\(' is not a regular expression"),
        ({"rules": {"head": {}}}, "rule 'head' has neither l1 nor l2"),
        ({"rules": {"head": 0.1}}, "must hold 'l1', 'l2' or both by name, got 0.1"),
        ({"rules": {"head": {"l3": 1.0}}}, r"has no 'l3'. Did you mean 'l[12]'\?"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        make_penalty(**options)


def test_refuses_a_pattern_that_matches_nothing():
    penalty = make_penalty(l1=1.0, rules={"^conv2": {"l2": 1.0}})
    with pytest.raises(
        ValueError, match=r"'\^conv2' matches none .* conv1/bias, conv1"
    ):
        penalty(PARAMS)


START = {"kernel": jnp.array([0.6, -2.0, 3.0])}


def updated(tx, penalty=None, *, count=3):
    """Returns the kernel after some updates of a loss with a minimum at 1."""

    def loss(params):
        value = jnp.square(params["kernel"] - 1).sum()
        return value if penalty is None else value + penalty(params)

    @jax.jit
    def trained(params):
        opt_state = tx.init(params)
        for _ in range(count):
            updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
            params = optax.apply_updates(params, updates)
        return params["kernel"]

    return np.array(trained(START))


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])
def test_l2_is_coupled_weight_decay(name):
    # The penalty's gradient is l2 * p, which is what coupled decay adds to it.
    decayed = updated(make_optimizer(name, 0.01, weight_decay=2.0))
    penalised = updated(make_optimizer(name, 0.01), make_penalty(l2=2.0))
    free = updated(make_optimizer(name, 0.01))
    np.testing.assert_allclose(penalised, decayed, rtol=1e-6)
    assert abs(penalised - free).max() > 1e-3


def test_l2_is_not_decoupled_weight_decay():
    decayed = updated(make_optimizer("adamw", 0.01, weight_decay=0.9))
    penalised = updated(make_optimizer("adamw", 0.01), make_penalty(l2=0.9))
    assert abs(penalised - decayed).max() > 1e-3


def test_clipping_sees_the_penalty_and_not_the_decay():
    clipped = {"learning_rate": 1.0, "clip_norm": 1e-3}
    penalised = updated(make_optimizer("sgd", **clipped), make_penalty(l2=9), count=1)
    assert np.linalg.norm(penalised - START["kernel"]) == pytest.approx(1e-3, rel=1e-2)
    decayed = updated(make_optimizer("sgd", **clipped, weight_decay=9.0), count=1)
    assert np.linalg.norm(decayed - START["kernel"]) > 1


def test_the_step_adds_the_penalty_and_logs_it_apart():
    model, tx = nets.Linear(3), optax.sgd(0.1)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    penalty = make_penalty(l1=0.1)
    step = make_train_step(model, tx, classification(), penalty=penalty)
    plain = make_train_step(model, tx, classification())
    batch = nets.batch_of(0)
    both = jax.jit(lambda state: (step(state, batch), plain(state, batch)))
    (new, metrics), (free, without) = both(state)
    assert metrics["loss"].compute() == without["loss"].compute()
    assert "penalty" not in without
    kernel = state.params["head"]["kernel"]
    expected = 0.1 * np.abs(kernel).sum()
    np.testing.assert_allclose(metrics["penalty"].compute(), expected, rtol=1e-5)
    difference = free.params["head"]["kernel"] - new.params["head"]["kernel"]
    np.testing.assert_allclose(difference, 0.01 * np.sign(kernel), atol=1e-6)
