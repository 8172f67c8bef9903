"""Clipping, centring, Lookahead, rules, Muon and Ranger21, worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.optim import make_optimizer, make_schedule
from jaxcnn.optim.clipping import centralize, clip_adaptive, unit_norm
from jaxcnn.tree import flatten_named

pytestmark = pytest.mark.thorough


KERNEL = jnp.array([[3.0, 0.0], [4.0, 0.0]])
PARAMS = {"conv": {"kernel": KERNEL, "bias": jnp.array([1.0, 2.0])}}
PARAMS |= {"head": {"kernel": jnp.ones((2, 2))}}


def update(name, gradients, params=PARAMS, rate=1.0, **options):
    tx = make_optimizer(name, rate, **options)
    updates, _ = tx.update(gradients, tx.init(params), params)
    return flatten_named(updates)


def ones(params=PARAMS):
    return jax.tree.map(jnp.ones_like, params)


def test_adam_is_rmsprop_with_momentum():
    """Adam moves by RMSprop's scale times the averaged, not the newest gradient."""
    b1, b2, eps = 0.9, 0.99, 1e-6
    adam = make_optimizer("adam", 0.1, b1=b1, b2=b2, eps=eps)
    rmsprop = make_optimizer(
        "rmsprop", 0.1, decay_rate=b2, eps=eps, eps_in_sqrt=False, bias_correction=True
    )
    momentum = optax.ema(b1, debias=True)
    params = jnp.zeros(5)
    states = [tx.init(params) for tx in (adam, rmsprop, momentum)]
    for seed in range(6):
        g = jax.random.normal(jax.random.key(seed), (5,)) + 0.1
        ours, states[0] = adam.update(g, states[0], params)
        scaled, states[1] = rmsprop.update(g, states[1], params)
        averaged, states[2] = momentum.update(g, states[2])
        np.testing.assert_allclose(ours, scaled / g * averaged, rtol=2e-5)
    assert not np.allclose(ours, scaled, rtol=0.05)
    plain = make_optimizer("adam", 0.1, b1=0.0, b2=b2, eps=eps)
    without, _ = plain.update(g, plain.init(params), params)
    first, _ = rmsprop.update(g, rmsprop.init(params), params)
    np.testing.assert_allclose(without, first, rtol=1e-6)


def test_clip_value_by_hand():
    gradients = {"conv": {"kernel": 5 * KERNEL, "bias": jnp.array([-9.0, 0.5])}}
    gradients |= {"head": {"kernel": jnp.ones((2, 2))}}
    got = update("sgd", gradients, clip_value=2.0)
    np.testing.assert_allclose(got["conv/kernel"], [[-2, 0], [-2, 0]])
    np.testing.assert_allclose(got["conv/bias"], [2, -0.5])


def test_adaptive_clipping_by_hand():
    # The first column has the norm 5: at most 0.5 of gradient. The second is zero, and
    # counts as eps = 1e-3. The bias is one unit, of norm sqrt(5). The head is skipped.
    got = update("sgd", ones(), clip_adaptive=0.1)
    expected = [[-0.5 / np.sqrt(2), -1e-4 / np.sqrt(2)]] * 2
    np.testing.assert_allclose(got["conv/kernel"], expected, rtol=1e-6)
    share = 0.1 * np.sqrt(5) / np.sqrt(2)
    np.testing.assert_allclose(got["conv/bias"], [-share, -share], rtol=1e-6)
    np.testing.assert_allclose(got["head/kernel"], -np.ones((2, 2)))
    clipped = update("sgd", ones(), clip_adaptive=0.1, clip_skip=None)
    np.testing.assert_allclose(clipped["head/kernel"], -0.1 * np.ones((2, 2)))


@pytest.mark.parametrize("shape", [(6, 4), (3, 3, 2, 4), (2, 3, 3, 2, 4), (4,)])
def test_adaptive_clipping_equals_optax_where_that_knows_the_shape(shape):
    params, gradients = (jax.random.normal(jax.random.key(k), shape) for k in (0, 1))
    gradients = gradients * jnp.broadcast_to(jnp.linspace(0.01, 1.0, 4), shape)
    ours, theirs = clip_adaptive(0.05, skip=None), optax.adaptive_grad_clip(0.05)
    one, _ = ours.update(gradients, ours.init(params), params)
    two, _ = theirs.update(gradients, theirs.init(params), params)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert (np.abs(one) < np.abs(gradients) * 0.99).any()


def test_the_unit_of_a_kernel_of_sequences_is_an_output():
    assert unit_norm(jnp.ones((3, 5, 2))).shape == (1, 1, 2)
    np.testing.assert_allclose(unit_norm(jnp.ones((3, 5, 2))).ravel(), np.sqrt(15))


def test_a_gradient_of_zero_is_not_clipped():
    tx = clip_adaptive(0.1, skip=None)
    clipped, _ = tx.update(jnp.zeros((2, 2)), tx.init(KERNEL), KERNEL)
    np.testing.assert_array_equal(clipped, np.zeros((2, 2)))


def test_centred_gradients_by_hand():
    tx = centralize()
    kernel, bias = jnp.array([[1.0, 5.0], [3.0, 7.0]]), jnp.array([1.0, 3.0])
    (k, b), _ = tx.update((kernel, bias), tx.init((kernel, bias)))
    np.testing.assert_allclose(k, [[-1, -1], [1, 1]])
    np.testing.assert_allclose(b, bias)
    image = jax.random.normal(jax.random.key(0), (3, 3, 2, 4))
    centred, _ = tx.update(image, tx.init(image))
    np.testing.assert_allclose(centred.mean((0, 1, 2)), np.zeros(4), atol=1e-6)


def test_gradients_are_clipped_and_then_centred():
    params = {"kernel": jnp.ones((2, 1))}
    gradients = {"kernel": jnp.array([[6.0], [8.0]])}
    got = update("sgd", gradients, params, clip_norm=5.0, centralize=True)
    np.testing.assert_allclose(got["kernel"], [[0.5], [-0.5]], rtol=1e-6)


def path_of(tx, params, steps, gradient=1.0):
    """Returns the values of a scalar parameter under a constant gradient."""
    state, values = tx.init(params), []
    for _ in range(steps):
        gradients = jax.tree.map(lambda p: jnp.full_like(p, gradient), params)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        values.append(float(params["w"][0]))
    return values


def test_lookahead_by_hand():
    # Two steps of -1 from 0, then halfway back: -1 -> slow; from there -2, -3 -> -2.
    tx = make_optimizer("sgd", 1.0, lookahead=2)
    assert path_of(tx, {"w": jnp.zeros(1)}, 5) == [-1, -1, -2, -2, -3]
    named = make_optimizer("lookahead", 1.0, inner="sgd", k=2)
    assert path_of(named, {"w": jnp.zeros(1)}, 5) == [-1, -1, -2, -2, -3]
    whole = make_optimizer("sgd", 1.0, lookahead=2, lookahead_alpha=1.0)
    assert path_of(whole, {"w": jnp.zeros(1)}, 5) == [-1, -2, -3, -4, -5]


def test_lookahead_equals_optax():
    inner = optax.adam(0.1)
    theirs, ours = (
        optax.lookahead(inner, 3, 0.8),
        make_optimizer("adam", 0.1, lookahead=3, lookahead_alpha=0.8),
    )
    pair = optax.LookaheadParams.init_synced(jnp.array([1.0, -2.0]))
    params = jnp.array([1.0, -2.0])
    one, two = ours.init(params), theirs.init(pair)
    for step in range(8):
        updates, one = ours.update(jnp.sin(params + step), one, params)
        params = optax.apply_updates(params, updates)
        both, two = theirs.update(jnp.sin(pair.fast + step), two, pair)
        pair = optax.apply_updates(pair, both)
        np.testing.assert_allclose(params, pair.fast, rtol=1e-5)
        np.testing.assert_allclose(one.slow, pair.slow, rtol=1e-5)


def test_the_slow_weights_share_no_buffer_with_the_parameters():
    params = {"w": jnp.ones(3)}
    state = make_optimizer("sgd", 0.1, lookahead=2).init(params)
    jax.jit(lambda p, s: (p, s), donate_argnums=(0, 1))(params, state)


def test_rules_by_hand():
    # The head learns a tenth as fast, the bias by its own schedule, the rest is frozen.
    rules = [
        ("^head/", 0.1),
        ("bias$", make_schedule("linear", 8.0, 4)),
        ("kernel", None),
    ]
    tx = make_optimizer("sgd", make_schedule("linear", 4.0, 4), rules=rules)
    state = tx.init(PARAMS)
    for rate in (4.0, 3.0, 2.0, 1.0):
        updates, state = tx.update(ones(), state, PARAMS)
        got = flatten_named(updates)
        np.testing.assert_allclose(got["head/kernel"], -0.1 * rate * np.ones((2, 2)))
        np.testing.assert_allclose(got["conv/bias"], [-2 * rate] * 2)
        np.testing.assert_allclose(got["conv/kernel"], np.zeros((2, 2)))


def test_multipliers_scale_decoupled_decay_and_one_norm_clips_all():
    rules = [("^head/", 0.5)]
    options = {"weight_decay": 0.1, "clip_norm": 1.0, "rules": rules}
    got = update("sgd", ones(), rate=2.0, **options)
    length = np.sqrt(4 + 2 + 4)
    np.testing.assert_allclose(
        got["head/kernel"], -1.0 * (1 / length + 0.1) * np.ones((2, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(got["conv/bias"], [-2 / length] * 2, rtol=1e-6)


def test_without_rules_the_state_is_what_it_was():
    """Names of checkpoints written before there were rules."""
    schedule = make_schedule("cosine", 0.1, 9)
    tx = make_optimizer("adamw", schedule, weight_decay=0.1, clip_norm=1.0)
    plain = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(),
        optax.add_decayed_weights(
            0.1, mask=lambda params: jax.tree.map(lambda p: True, params)
        ),
        optax.scale_by_learning_rate(schedule),
    )
    ours, theirs = (flatten_named(t.init(PARAMS)) for t in (tx, plain))
    assert list(ours) == list(theirs)


def test_muon_makes_kernels_orthogonal_and_leaves_the_rest_to_adamw():
    shape = (3, 3, 4, 8)
    params = {"conv": {"kernel": jnp.zeros(shape), "bias": jnp.zeros(8)}}
    params |= {"head": {"kernel": jnp.zeros((8, 4))}}
    gradients = jax.tree.map(
        lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params
    )
    got = update("muon", gradients, params, consistent_rms=None, adam_rate=0.1)
    values = np.linalg.svd(got["conv/kernel"].reshape(-1, 8), compute_uv=False)
    assert ((values > 0.5) & (values < 1.5)).all()
    for path in ("conv/bias", "head/kernel"):
        np.testing.assert_allclose(
            got[path], -0.1 * np.sign(flatten_named(gradients)[path]), rtol=1e-4
        )
    scaled = update("muon", gradients, params)["conv/kernel"]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(scaled))), 0.2, rtol=0.2)


def test_ranger21_by_hand():
    """Two updates of one weight of 2, gradients 1 and 3, in plain numbers."""
    b0, b1, b2, eps, rate, weight = 0.9, 0.9, 0.999, 1e-8, 0.1, 1e-2
    tx = make_optimizer(
        "ranger21", rate, weight_decay=weight, clipping=None, centralized=False
    )
    params = {"kernel": jnp.array([[2.0]])}
    state = tx.init(params)
    theta, older, newer, v = 2.0, 0.0, 0.0, 0.0
    for t, g in enumerate((1.0, 3.0), 1):
        updates, state = tx.update({"kernel": jnp.array([[g]])}, state, params)
        params = optax.apply_updates(params, updates)
        older, newer = newer, b1**2 * older + (1 - b1**2) * g
        v = b2 * v + (1 - b2) * g**2
        m = ((1 + b0) * newer - b0 * older) / (1 - b1**t)
        v_hat = v / (1 - b2**t)
        step = m / np.hypot(1 + b0, b0) / (np.sqrt(v_hat) + eps)
        theta -= rate * (step + weight / np.sqrt(v_hat) * (1 - 1 / theta) * theta)
        np.testing.assert_allclose(params["kernel"], [[theta]], rtol=1e-5)


def waves(p, step):
    return jnp.cos((step + 1) * p) + step


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("clipping", None),
        ("clip_head", True),
        ("centralized", False),
        ("positive_negative", None),
        ("norm_loss", False),
        ("stable_decay", False),
        ("softplus", 50.0),
        ("k", None),
    ],
)
def test_every_part_of_ranger21_can_be_switched(switch, value):
    start = {**PARAMS, "head": {"kernel": jnp.array([[1.0, 2.0], [3.0, 5.0]])}}

    def five(**options):
        tx = make_optimizer("ranger21", 0.1, weight_decay=0.01, **options)
        params, state = start, tx.init(start)
        for step in range(5):
            wave = functools.partial(waves, step=step)
            gradients = jax.tree.map(wave, params)
            updates, state = tx.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        return flatten_named(params)

    one, two = five(), five(**{switch: value})
    assert all(np.isfinite(leaf).all() for leaf in [*one.values(), *two.values()])
    assert any((one[path] != two[path]).any() for path in one)


def test_ranger21_of_zeros_stays_finite():
    params = jax.tree.map(jnp.zeros_like, PARAMS)
    got = update("ranger21", params, params, weight_decay=0.1)
    assert all(np.isfinite(leaf).all() for leaf in got.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "ranger2"}, r"Unknown optimizer 'ranger2'\. Did you mean 'ranger21'"),
        ({"name": "ranger", "lookahead": 5}, "'ranger' has a lookahead of its own"),
        ({"name": "lookahead", "inner": "ranger"}, "inner='ranger' includes a lookah"),
        ({"name": "lookahead", "inner": "adm"}, "Unknown optimizer 'adm'"),
        ({"name": "lookahead", "k": 0}, "k=0 is not a positive number of steps"),
        ({"name": "ranger21", "clipping": -1.0}, r"clip_adaptive=-1.0 must be > 0"),
        ({"name": "ranger21", "softplus": 0.0}, r"softplus=0.0 must be > 0"),
        ({"name": "ranger21", "positive_negative": -1}, "positive_negative=-1 must be"),
        ({"name": "ranger21", "eps": -1.0}, "eps=-1.0 must be >= 0"),
        ({"name": "muon", "beta": 1.0}, "beta=1.0 must be >= 0 and < 1"),
        ({"name": "muon", "ns_steps": 0}, "ns_steps=0 must be >= 1"),
        ({"name": "muon", "adam_rate": 0.0}, "adam_rate=0.0 must be > 0"),
        ({"name": "muon", "kernels": "("}, r"kernels='\(' is not a regular expression"),
        ({"name": "lars", "trust": 0.0}, "trust=0.0 must be > 0"),
        ({"name": "lamb", "kernels": "["}, r"kernels='\[' is not a regular"),
        ({"name": "lion", "b2": 1.0}, "b2=1.0 must be >= 0 and < 1"),
        ({"name": "adagrad", "initial": -1.0}, "initial=-1.0 must be >= 0"),
        ({"name": "adadelta", "eps": 0.0}, "eps=0.0 must be > 0"),
        ({"lookahead": 0}, "lookahead's k=0 is not a positive number of steps"),
        ({"lookahead": 5, "lookahead_alpha": 0.0}, "alpha=0.0 must be > 0 and < 1"),
        ({"clip_value": 0.0}, "clip_value=0.0 must be > 0"),
        ({"clip_adaptive": 0.0}, "clip_adaptive=0.0 must be > 0"),
        ({"clip_adaptive": 0.1, "clip_skip": "("}, r"clip_skip='\(' is not a regular"),
        ({"rules": "head"}, r"rules must be a list of \(regex, value\), got 'head'"),
        (
            {"rules": ["head"]},
            r"rules\[0\] must be a pair \(regex, value\), got 'head'",
        ),
        (
            {"rules": [(0.1, "head")]},
            r"rules\[0\] must begin with a regular expression",
        ),
        ({"rules": [("(", 0.1)]}, r"rules\[0\]='\(' is not a regular expression"),
        ({"rules": [("head", 0)]}, r"'head' the value 0: it must be None \(frozen\)"),
        ({"rules": [("head", True)]}, "the value True: it must be None"),
        ({"rules": [("head", "slow")]}, "the value 'slow': it must be None"),
    ],
)
def test_refuses(options, message):
    options = {"name": "sgd", **options}
    with pytest.raises(ValueError, match=message):
        make_optimizer(options.pop("name"), 0.1, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rules": [("stem", 0.1)]},
            r"rules\[0\]='stem' matches none of the parameter",
        ),
        (
            {"rules": [("kernel", 0.1), ("head", None)]},
            r"rules\[1\]='head' decides on nothing: the rules before it match all of",
        ),
        ({"rules": [("", None)]}, "rules freezes every parameter: nothing is left"),
        (
            {"rules": [("head", None)], "freeze": "conv"},
            "freeze='conv' freezes every parameter",
        ),
        ({"clip_adaptive": 0.1, "clip_skip": "fc"}, "clip_skip='fc' matches none"),
        ({"name": "lars", "kernels": "weight"}, "kernels='weight' matches none"),
        ({"name": "muon", "kernels": "weight"}, "kernels='weight' matches none"),
    ],
)
def test_init_refuses_patterns_that_decide_on_nothing(options, message):
    options = {"name": "sgd", **options}
    with pytest.raises(ValueError, match=message):
        make_optimizer(options.pop("name"), 0.1, **options).init(PARAMS)


def test_muon_needs_a_hidden_kernel():
    with pytest.raises(ValueError, match="matches none of the parameters: head/kernel"):
        make_optimizer("muon", 0.1).init({"head": {"kernel": jnp.ones((2, 2))}})


def test_no_head_is_no_mistake_of_adaptive_clipping():
    params = {"dec": {"kernel": jnp.ones((2, 2))}}
    make_optimizer("sgd", 0.1, clip_adaptive=0.1).init(params)
