import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.optim import list_optimizers, make_optimizer, make_schedule
from jaxcnn.tree import flatten_named

PARAMS = {
    "conv": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([0.5])},
    "norm": {"scale": jnp.array([2.0]), "bias": jnp.array([-1.0])},
    "head": {"kernel": jnp.array([[3.0], [4.0]])},
}
GRADIENTS = jax.tree.map(lambda p: 0.3 * p + 0.1, PARAMS)


def run(tx, params=PARAMS, steps=3):
    """Descends on half the squared distance to -1/3, whose gradient is p + 1/3."""

    @jax.jit
    def step(params, state):
        gradients = jax.tree.map(lambda p: p + 1 / 3, params)
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def assert_same(got, expected, rtol=1e-5):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=rtol), got, expected
    )


REFERENCES = {
    "sgd": ({}, optax.sgd(0.1)),
    "sgd with momentum": ({"momentum": 0.5}, optax.sgd(0.1, momentum=0.5)),
    "momentum": ({}, optax.sgd(0.1, momentum=0.9)),
    "nesterov": ({"momentum": 0.8}, optax.sgd(0.1, momentum=0.8, nesterov=True)),
    "rmsprop": ({}, optax.rmsprop(0.1)),
    "rmsprop with momentum": (
        {"decay_rate": 0.99, "eps": 1e-3, "momentum": 0.5},
        optax.rmsprop(0.1, decay=0.99, eps=1e-3, momentum=0.5),
    ),
    "adam": ({}, optax.adam(0.1)),
    "adam with its options": (
        {"b1": 0.5, "b2": 0.9, "eps": 1e-2},
        optax.adam(0.1, b1=0.5, b2=0.9, eps=1e-2),
    ),
    "adamw": ({}, optax.adam(0.1)),
    "adamw with decay": (
        {"weight_decay": 0.2, "decay_mask": ""},
        optax.adamw(0.1, weight_decay=0.2),
    ),
    "adagrad": (
        {"initial": 0.1, "eps": 1e-7},
        optax.adagrad(0.1),
    ),
    "adadelta": ({}, optax.adadelta(0.1)),
    "nadam": ({}, optax.nadam(0.1)),
    "radam": ({}, optax.radam(0.1)),
    "lamb": ({"kernels": "."}, optax.lamb(0.1)),
    "lamb with decay": (
        {"kernels": ".", "weight_decay": 0.2, "decay_mask": ""},
        optax.lamb(0.1, weight_decay=0.2),
    ),
    "lars": ({"kernels": "."}, optax.lars(0.1)),
    "lion": (
        {"weight_decay": 0.2, "decay_mask": ""},
        optax.lion(0.1, weight_decay=0.2),
    ),
    # Its parts without Lookahead and centring.
    "ranger": (
        {"centralized": False, "k": 99, "weight_decay": 0.2, "decay_mask": ""},
        optax.chain(
            optax.scale_by_radam(b1=0.95, eps=1e-5),
            optax.add_decayed_weights(0.2),
            optax.scale_by_learning_rate(0.1),
        ),
    ),
    "ranger21 without its parts": (
        {
            "clipping": None,
            "centralized": False,
            "positive_negative": None,
            "norm_loss": False,
            "stable_decay": False,
            "k": None,
            "weight_decay": 0.2,
            "decay_mask": "",
        },
        optax.adamw(0.1, weight_decay=0.2),
    ),
    "lookahead with k so large that it does nothing": (
        {"inner": "adam", "inner_options": {"b1": 0.5}, "k": 99},
        optax.adam(0.1, b1=0.5),
    ),
    "muon where there is but one kernel": (
        {"kernels": "head", "consistent_rms": None, "nesterov": False},
        optax.contrib.muon(0.1, nesterov=False),
    ),
}


def test_every_optimizer_has_a_reference():
    assert {case.split()[0] for case in REFERENCES} == set(list_optimizers())


@pytest.mark.thorough
@pytest.mark.parametrize("case", REFERENCES)
def test_equals_optax(case):
    options, reference = REFERENCES[case]
    params, _ = run(make_optimizer(case.split()[0], 0.1, **options))
    assert_same(params, run(reference)[0])


def test_momentum_by_hand():
    # g = 1 at each step: v = 1, 1.5, 1.75; with Nesterov 1.5, 1.75, 1.875.
    params = {"kernel": jnp.zeros(1)}
    for name, expected in {"momentum": -0.425, "nesterov": -0.5125}.items():
        tx = make_optimizer(name, 0.1, momentum=0.5)
        state, total = tx.init(params), 0.0
        for _ in range(3):
            updates, state = tx.update({"kernel": jnp.ones(1)}, state, params)
            total += updates["kernel"][0]
        np.testing.assert_allclose(total, expected, rtol=1e-6)


def first_update(name, **options):
    tx = make_optimizer(name, 0.1, **options)
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS)
    return flatten_named(updates)


@pytest.mark.parametrize(
    ("decay_mask", "decayed"),
    [
        (None, {"conv/kernel", "head/kernel"}),
        ("", {"conv/kernel", "conv/bias", "norm/scale", "norm/bias", "head/kernel"}),
        ("^conv/", {"conv/kernel", "conv/bias"}),
        ("scale", {"norm/scale"}),
    ],
)
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_reaches_what_the_mask_names(name, decay_mask, decayed):
    mask = {} if decay_mask is None else {"decay_mask": decay_mask}
    plain, shrunk = first_update(name), first_update(name, weight_decay=0.5, **mask)
    for path, param in flatten_named(PARAMS).items():
        # For sgd coupled and decoupled decay are the same: rate * decay * p.
        change = -0.1 * 0.5 * param if path in decayed else 0 * param
        np.testing.assert_allclose(shrunk[path] - plain[path], change, atol=1e-6)


def test_decay_of_adam_is_coupled():
    # An L2 penalty: the gradient g + 0.5 p enters both moments.
    tx = make_optimizer("adam", 0.1, weight_decay=0.5, decay_mask="")
    reference = optax.chain(optax.add_decayed_weights(0.5), optax.adam(0.1))
    assert_same(run(tx)[0], run(reference)[0])


def test_gradients_are_clipped_before_the_decay():
    kernel = {"kernel": jnp.array([10.0])}
    tx = make_optimizer("sgd", 1.0, clip_norm=5.0, weight_decay=0.1)
    gradients = {"kernel": jnp.array([50.0])}
    updates, _ = tx.update(gradients, tx.init(kernel), kernel)
    np.testing.assert_allclose(updates["kernel"], [-(5.0 + 0.1 * 10.0)], rtol=1e-6)


@pytest.mark.parametrize(("norm", "scale"), [(1.0, 0.2), (5.0, 1.0), (7.0, 1.0)])
def test_clip_norm_by_hand(norm, scale):
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([-4.0])}
    tx = make_optimizer("sgd", 1.0, clip_norm=norm)
    updates, _ = tx.update(gradients, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], [-3.0 * scale], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [4.0 * scale], rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"]
)
@pytest.mark.parametrize("freeze", ["^(conv|norm)/", "kernel$"])
def test_freeze_keeps_the_parameters_and_no_state(name, freeze):
    options = {"weight_decay": 0.1, "clip_norm": 100.0}
    params, state = run(make_optimizer(name, 0.1, freeze=freeze, **options))
    free, _ = run(make_optimizer(name, 0.1, **options))
    before, free = flatten_named(PARAMS), flatten_named(free)
    is_frozen = {path: path.startswith(("conv", "norm")) for path in before}
    if freeze.endswith("$"):
        is_frozen = {path: path.endswith(freeze[:-1]) for path in before}
    for path, param in flatten_named(params).items():
        expected = before[path] if is_frozen[path] else free[path]
        np.testing.assert_allclose(param, expected, rtol=1e-5, err_msg=path)
        assert is_frozen[path] == bool((param == before[path]).all())
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    trained = sum(not frozen for frozen in is_frozen.values())
    assert len(moments) == trained * {"adam": 2, "adamw": 2, "sgd": 0}.get(name, 1)


def test_frozen_gradients_do_not_count_in_the_norm():
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([4000.0])}
    tx = make_optimizer("sgd", 1.0, clip_norm=3.0, freeze="b")
    updates, _ = tx.update(gradients, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], [-3.0])
    np.testing.assert_allclose(updates["b"], [0.0])


def test_follows_a_schedule():
    schedule = make_schedule("linear", 0.4, 4)
    params = {"kernel": jnp.zeros(1)}
    tx = make_optimizer("sgd", schedule)
    state = tx.init(params)
    for expected in (-0.4, -0.3, -0.2, -0.1, 0.0):
        updates, state = tx.update({"kernel": jnp.ones(1)}, state, params)
        np.testing.assert_allclose(updates["kernel"], [expected], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "rate", "options", "message"),
    [
        ("adm", 0.1, {}, r"Unknown optimizer 'adm'\. Did you mean 'adam'\?"),
        (
            "momentum",
            0.1,
            {"momentun": 0.9},
            r"'momentum' has no argument 'momentun'\. Did you mean 'momentum'\?",
        ),
        ("adam", 0.1, {"momentum": 0.9}, "'adam' has no argument 'momentum'"),
        ("sgd", -1.0, {}, "learning_rate=-1.0 is not a finite number >= 0"),
        ("sgd", 0.1, {"momentum": 1.0}, "momentum=1.0 must be >= 0 and < 1"),
        ("momentum", 0.1, {"momentum": -0.1}, "momentum=-0.1 must be >= 0 and < 1"),
        ("nesterov", 0.1, {"momentum": 1.5}, "momentum=1.5 must be >= 0 and < 1"),
        ("rmsprop", 0.1, {"decay_rate": 1.0}, "decay_rate=1.0 must be >= 0 and < 1"),
        ("rmsprop", 0.1, {"eps": -1.0}, "eps=-1.0 must be >= 0"),
        ("adam", 0.1, {"b1": 1.0}, "b1=1.0 must be >= 0 and < 1"),
        ("adam", 0.1, {"b2": 1.0}, "b2=1.0 must be >= 0 and < 1"),
        ("adam", 0.1, {"eps": -1.0}, "eps=-1.0 must be >= 0"),
        ("sgd", 0.1, {"weight_decay": -1.0}, "weight_decay=-1.0 must be >= 0"),
        ("sgd", 0.1, {"clip_norm": 0.0}, "clip_norm=0.0 must be > 0"),
        ("sgd", 0.1, {"freeze": "("}, r"freeze='\(' is not a regular expression"),
        (
            "sgd",
            0.1,
            {"weight_decay": 1.0, "decay_mask": "["},
            r"decay_mask='\[' is not a regular expression",
        ),
    ],
)
def test_refuses(name, rate, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, rate, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"freeze": "^stem"},
            r"freeze='\^stem' matches none of the parameters: conv/bias, conv/kernel",
        ),
        (
            {"weight_decay": 0.1, "decay_mask": "weight"},
            "decay_mask='weight' matches none of the parameters",
        ),
        ({"freeze": ""}, "freeze='' matches every parameter: nothing is left to train"),
    ],
)
def test_init_refuses_patterns_that_match_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer("sgd", 0.1, **options).init(PARAMS)
