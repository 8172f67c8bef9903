import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import (
    EarlyStopping,
    Evaluate,
    Hook,
    SaveCheckpoints,
    averaged,
    classification,
    fit,
    init_ema,
    init_state,
    make_eval_step,
    make_mesh,
    make_train_step,
    of_average,
    parallelize,
    with_ema,
)
from jaxcnn.tree import flatten_named

TX = optax.sgd(0.5)


def start(model=None, tx=TX):
    model = nets.ConvNet() if model is None else model
    return init_ema(init_state(model, tx, jax.random.key(0), nets.EXAMPLE))


def make_step(axis_name=None, **options):
    model = nets.ConvNet(axis_name=axis_name)
    step = make_train_step(model, TX, classification(), axis_name=axis_name)
    return with_ema(step, **options)


@pytest.fixture(scope="module")
def step():
    """A compiled step with a short average, that donates its state."""
    return parallelize(make_step(decay=0.5))


def floats(tree):
    return {k: np.asarray(x) for k, x in flatten_named(tree).items()}


def weights(state):
    return floats({"params": state.params, "model_state": state.model_state})


def by_hand(histories, decay, *, warmup=True, every=1):
    """Returns the averages of weights, the first of them the initial ones."""
    averages = {k: x.astype(np.float64) for k, x in histories[0].items()}
    for number, newest in enumerate(histories[1:], 1):
        if number % every:
            continue
        t = number // every - 1
        rate = min(decay, (1 + t) / (10 + t)) if warmup else decay
        averages = {k: rate * x + (1 - rate) * newest[k] for k, x in averages.items()}
    return averages


@pytest.mark.parametrize(
    "options",
    [
        {"decay": 0.25},
        pytest.param({"decay": 0.9, "warmup": False}, marks=pytest.mark.thorough),
        {"decay": 0.15, "every": 2},
    ],
    ids=str,
)
def test_the_averages_are_those_by_hand(options):
    step, state = parallelize(make_step(**options)), start()
    histories = [weights(state)]
    for k in range(5):
        state, _ = step(state, nets.batch_of(k))
        histories.append(weights(state))
    wanted, got = by_hand(histories, **options), floats(state.extras["ema"])
    assert wanted.keys() == got.keys()
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)
    moved = {name: np.abs(got[name] - histories[-1][name]).max() for name in got}
    assert all(x > 1e-5 for x in moved.values()), moved  # no average is the weights
    np.testing.assert_array_equal(
        weights(averaged(state))["params/conv/kernel"], got["params/conv/kernel"]
    )


@pytest.mark.thorough
def test_training_itself_does_not_change(step):
    plain = parallelize(make_train_step(nets.ConvNet(), TX, classification()))
    one = init_state(nets.ConvNet(), TX, jax.random.key(0), nets.EXAMPLE)
    two = start()
    for k in range(3):
        one, _ = plain(one, nets.batch_of(k))
        two, _ = step(two, nets.batch_of(k))
    np.testing.assert_allclose(
        one.params["head"]["kernel"], two.params["head"]["kernel"], atol=1e-6
    )


@pytest.mark.thorough
def test_one_device_and_a_mesh_agree(step):
    mesh = parallelize(make_step(decay=0.5), make_mesh())
    nets.assert_close(after_three(step), after_three(mesh), atol=1e-5)


@pytest.mark.thorough
def test_one_device_and_pmap_agree(step):
    pmap = parallelize(make_step("batch", decay=0.5), "pmap")
    nets.assert_close(after_three(step), after_three(pmap), atol=1e-5)


def after_three(step):
    state = start()
    for k in range(3):
        state, _ = step(state, nets.batch_of(k))
    return state


def test_averages_are_buffers_of_their_own():
    state = start()
    kept = {id(x) for x in jax.tree.leaves(state.params)}
    assert not kept & {id(x) for x in jax.tree.leaves(state.extras)}
    pointers = [
        x.unsafe_buffer_pointer() for x in jax.tree.leaves(nets.key_data(state))
    ]
    assert len(set(pointers)) == len(pointers)


def test_types_of_other_widths_and_integers():
    def counting_step(state, batch):
        params = jax.tree.map(lambda x: x + 1, state.params)
        seen = {"counters": {"seen": state.model_state["counters"]["seen"] + 2}}
        new = state.replace(step=state.step + 1, params=params, model_state=seen)
        return new, {}

    state = init_state(nets.Linear(), TX, jax.random.key(0), nets.EXAMPLE)
    state = init_ema(
        state.replace(
            params={"w": jnp.zeros(3, jnp.bfloat16)},
            model_state={"counters": {"seen": jnp.zeros((), jnp.int32)}},
        )
    )
    step = parallelize(with_ema(counting_step, 0.999, warmup=False), donate=True)
    for _ in range(2):
        state, _ = step(state, {"image": np.zeros((1, 1))})
    average = state.extras["ema"]
    assert average["params"]["w"].dtype == jnp.float32
    # bfloat16, of 8 bits, could not hold it: 1.999e-3 + 1e-6.
    np.testing.assert_allclose(average["params"]["w"], 0.002999, rtol=1e-4)
    assert average["model_state"]["counters"]["seen"] == 4
    assert averaged(state).params["w"].dtype == jnp.bfloat16


def test_two_half_runs_equal_one(step, tmp_path):
    whole = fit(start(), step, nets.Batches(), num_steps=5)
    for num_steps in (3, 5):
        with Checkpoints(tmp_path) as checkpoints:
            saver = SaveCheckpoints(checkpoints, every=3)
            state = saver.resume(start())
            half = fit(state, step, nets.Batches(), num_steps=num_steps, hooks=[saver])
    nets.assert_same(whole, half)


def test_a_checkpoint_without_averages_says_so(step, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, start().replace(extras={}))
        with pytest.raises(ValueError, match="extras/ema/params/conv/kernel: missing"):
            SaveCheckpoints(checkpoints, every=3).resume(start())


class Keep(Hook):
    def __init__(self):
        self.scores, self.states = [], []

    def on_record(self, loop, record):
        self.scores.append(record["loss"])
        self.states.append(jax.tree.map(jnp.copy, averaged(loop.state).params))


@pytest.mark.parametrize("on_disk", [False, True])
def test_early_stopping_puts_the_best_average_back(step, tmp_path, on_disk):
    class Scored(Evaluate):
        def on_step(self, loop):
            values = [2.0, 1.0, 3.0, 4.0]
            loop.record("validation", {"loss": values[loop.step - 1]})

    keep = Keep()
    with Checkpoints(tmp_path, best="loss", mode="min") as checkpoints:
        hooks = [Scored(None, [], every=1), keep]
        hooks.append(SaveCheckpoints(checkpoints, every=9))
        hooks.append(
            EarlyStopping(patience=2, checkpoints=checkpoints if on_disk else None)
        )
        state = fit(start(), step, nets.Batches(), num_steps=9, hooks=hooks)
    assert keep.scores == [2.0, 1.0, 3.0, 4.0]
    for one, two in zip(
        jax.tree.leaves(averaged(state).params),
        jax.tree.leaves(keep.states[1]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_an_evaluation_is_of_the_average():
    evaluation = make_eval_step(nets.ConvNet(), classification())
    state, batch = start(), nets.batch_of(0)
    other = init_state(nets.ConvNet(), TX, jax.random.key(1), nets.EXAMPLE)
    mixed = state.replace(params=other.params)
    raw, average = parallelize(evaluation), parallelize(of_average(evaluation))
    losses = [
        float(step(s, batch)["loss"].compute())
        for step, s in [(raw, state), (average, mixed), (raw, mixed), (average, other)]
    ]
    assert losses[0] == losses[1]
    assert losses[2] == losses[3] != losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, r"decay of an average must be in \[0, 1\), got 1.0"),
        ({"decay": float("nan")}, "got nan"),
        ({"every": 0}, "every must be a whole number of 1 or more, got 0"),
        ({"every": 1.5}, "got 1.5"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        make_step(**options)


def test_a_state_without_averages():
    state = init_state(nets.ConvNet(), TX, jax.random.key(0), nets.EXAMPLE)
    with pytest.raises(ValueError, match=r"no averages.*init_ema\(state\)"):
        parallelize(make_step())(state, nets.batch_of(0))
    assert averaged(state) is state
