"""One table of all optimizers through every property that a training run needs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.optim import list_optimizers, make_optimizer, make_schedule
from jaxcnn.train import make_mesh
from jaxcnn.tree import flatten_named

pytestmark = pytest.mark.thorough


# Name: a learning rate that suits it and its options; 60 steps follow. LARS and
# Adadelta take steps in proportion to weights or to steps before, from almost nothing.
CASES = {
    "adadelta": (300.0, {}),
    "adagrad": (1.0, {}),
    "adam": (0.2, {}),
    "adamw": (0.2, {"weight_decay": 1e-3}),
    "lamb": (0.2, {}),
    "lars": (200.0, {"momentum": 0.5}),
    "lion": (0.08, {}),
    "lookahead": (0.1, {"inner": "nesterov", "k": 3, "alpha": 0.8}),
    "momentum": (0.1, {"momentum": 0.8}),
    "muon": (0.4, {"weight_decay": 1e-3}),
    "nadam": (0.2, {}),
    "nesterov": (0.1, {"clip_norm": 10.0}),
    "radam": (0.2, {}),
    "ranger": (0.6, {"centralized": False}),
    "ranger21": (0.4, {"weight_decay": 1e-4, "centralized": False, "clipping": 10.0}),
    "rmsprop": (0.05, {"momentum": 0.5}),
    "sgd": (0.3, {}),
}
STEPS = 60
NAMES = list_optimizers()
ROWS = P(None, None, None, "data")
SHARDINGS = {"conv": {"kernel": ROWS}, "norm": {"scale": P("data")}}
SHARDINGS |= {"head": {"kernel": P(None, "data")}}


def make_params(seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {
        "conv": {"kernel": jax.random.normal(keys[0], (3, 3, 2, 8))},
        "norm": {"scale": jax.random.normal(keys[1], (8,))},
        "head": {"kernel": jax.random.normal(keys[2], (4, 8))},
    }
    mesh = make_mesh()
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), SHARDINGS)
    return jax.device_put(params, shardings)


def make(name, **changes):
    rate, options = CASES[name]
    schedule = make_schedule("cosine", rate, STEPS, final_factor=0.1)
    return make_optimizer(name, schedule, **{**options, **changes})


def distance(params):
    squares = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, make_params(1))
    return {path: float(s) for path, s in flatten_named(squares).items()}


def state_shardings(state, params):
    """Leaves of the state named as a parameter lie where that lies; others anywhere."""
    by_name = flatten_named(params)
    mesh = jax.tree.leaves(params)[0].sharding.mesh

    def place(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for known, param in by_name.items():
            if name.endswith("/" + known) and leaf.shape == param.shape:
                return param.sharding
        return NamedSharding(mesh, P())

    return jax.tree_util.tree_map_with_path(place, state)


@functools.cache
def compiled(name):
    """Returns `init(params)` and `run(params, state, steps)` of an optimizer.

    Half the squared distance to other values is what it descends on; the scale of the
    norm is frozen.
    """
    tx = make(name, rules=[("norm", None)])
    targets = make_params(1)

    @jax.jit
    def run(params, state, steps):
        def step(_, carry):
            params, state = carry
            gradients = jax.tree.map(jnp.subtract, params, targets)
            updates, state = tx.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, steps, step, (params, state))

    def init(params):
        shapes = jax.eval_shape(tx.init, params)
        return jax.jit(tx.init, out_shardings=state_shardings(shapes, params))(params)

    return init, run


@functools.cache
def ran(name):
    """Returns parameters and state at the start, in the middle and at the end."""
    init, run = compiled(name)
    params = make_params(0)
    start = params, init(params)
    middle = run(*start, STEPS // 2)
    return start, middle, run(*middle, STEPS - STEPS // 2)


def test_the_table_holds_every_optimizer():
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_converges(name):
    start, _, end = ran(name)
    before, after = distance(start[0]), distance(end[0])
    for path in ("conv/kernel", "head/kernel"):
        assert after[path] < 0.1 * before[path]


@pytest.mark.parametrize("name", NAMES)
def test_the_frozen_stay_bit_for_bit_and_have_no_state(name):
    start, _, end = ran(name)
    frozen, kept = (p[0]["norm"]["scale"] for p in (start, end))
    assert np.asarray(frozen).tobytes() == np.asarray(kept).tobytes()
    assert not [path for path in flatten_named(end[1]) if "norm" in path]


@pytest.mark.parametrize("name", NAMES)
def test_the_state_lies_where_the_parameters_lie(name):
    _, middle, end = ran(name)
    for params, state in (middle, end):
        by_name = flatten_named(params)
        for path, leaf in flatten_named(state).items():
            owners = [p for p in by_name if path.endswith("/" + p)]
            if owners and leaf.shape == by_name[owners[0]].shape:
                expected = by_name[owners[0]].sharding
                assert len(expected.device_set) == 8
                assert not expected.is_fully_replicated
                assert leaf.sharding.is_equivalent_to(expected, leaf.ndim), path
            else:
                assert leaf.size <= 3, path  # counts, factors and coefficients


def test_most_of_the_state_is_sharded():
    moments = {"momentum": 1, "adam": 2, "adadelta": 2, "lookahead": 2, "ranger21": 5}
    for name, count in moments.items():
        leaves = jax.tree.leaves(ran(name)[2][1])
        sharded = [leaf for leaf in leaves if not leaf.sharding.is_fully_replicated]
        assert len(sharded) == 2 * count, name


@pytest.mark.parametrize("name", NAMES)
def test_is_deterministic(name):
    start, middle, _ = ran(name)
    assert_bits(compiled(name)[1](*start, STEPS // 2), middle)


def test_survives_a_checkpoint(tmp_path):
    middles = {name: ran(name)[1] for name in NAMES}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(STEPS // 2, middles)
        checkpoints.wait()
        restored = checkpoints.restore(middles, step="latest").state
    assert_bits(restored, middles)
    for name in NAMES:
        assert_bits(compiled(name)[1](*restored[name], STEPS // 2), ran(name)[2])


def assert_bits(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, two in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert one.dtype == two.dtype
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_types_are_kept(name, dtype):
    wrapper = {} if name in ("lookahead", "ranger", "ranger21") else {"lookahead": 5}
    tx = make(
        name,
        rules=[("norm", 0.5)],
        clip_norm=1.0,
        clip_value=1.0,
        clip_adaptive=0.01,
        centralize=True,
        rate_factor=True,
        weight_decay=0.1,
        **wrapper,
    )
    params = jax.eval_shape(lambda: make_shapes(dtype))
    state = jax.eval_shape(tx.init, params)
    moments = {
        leaf.dtype
        for path, leaf in flatten_named(state).items()
        if path.endswith(("kernel", "scale"))
    }
    assert moments <= {jnp.dtype(dtype)}
    updates, after = jax.eval_shape(tx.update, params, state, params)
    assert types(after) == types(state)
    assert types(updates) == types(params)


def make_shapes(dtype):
    return {
        "conv": {"kernel": jnp.zeros((3, 3, 2, 8), dtype)},
        "norm": {"scale": jnp.zeros(8, dtype)},
        "head": {"kernel": jnp.zeros((4, 8), dtype)},
    }


def types(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_arrays_alone(name):
    tx = make(name, clip_norm=1.0, centralize=True)
    state = tx.init(make_shapes("float32"))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
