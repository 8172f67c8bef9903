import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import tests.train.nets as nets
from jaxcnn.train import (
    Hook,
    LayerStatistics,
    classification,
    fit,
    init_state,
    layer_statistics,
    make_layer_statistics,
    make_mesh,
    make_train_step,
    parallelize,
    read_metrics,
)
from jaxcnn.train.activations import layer_outputs
from jaxcnn.train.statistics import compiled_statistics
from jaxcnn.train.task import Task

TX = optax.sgd(0.5)


class TwoLayers(nn.Module):
    """Dense, ReLU as a plain function, dense."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.Dense(2, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(1, use_bias=False, name="head")(x)


def by_hand(kernel, bias, head):
    """Returns a state of `TwoLayers` with these parameters."""
    state = init_state(
        TwoLayers(), TX, jax.random.key(0), jnp.zeros((1, 2, 1, 1), jnp.float32)
    )
    params = {
        "hidden": {"kernel": jnp.array(kernel), "bias": jnp.array(bias)},
        "head": {"kernel": jnp.array(head)},
    }
    return state.replace(params=params, opt_state=TX.init(params))


#: The loss is the output itself, so that gradients are the inputs of the layers.
PLAIN = Task(loss=lambda outputs, batch: outputs[:, 0], metrics=lambda *args: {})
#: Two examples of two features.
BATCH = {"image": np.array([[1.0, 2.0], [3.0, 0.0]], np.float32).reshape(2, 2, 1, 1)}


@pytest.fixture(scope="module")
def look():
    return compiled_statistics(make_layer_statistics(TwoLayers(), PLAIN, TX))


def test_the_numbers_are_those_worked_out_by_hand():
    state = by_hand([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0], [[2.0], [3.0]])
    found = layer_statistics(TwoLayers(), PLAIN, state, BATCH, TX)
    assert list(found) == ["hidden", "head"]
    # hidden = relu([[3, -1], [3, 3]]) = [[3, 0], [3, 3]].
    hidden = found["hidden"]
    assert hidden["mean"] == pytest.approx(9 / 4)
    assert hidden["std"] == pytest.approx(np.std([3, 0, 3, 3]))
    assert hidden["zeros"] == pytest.approx(1 / 4)
    assert hidden["dead"] == 0
    # d/d kernel = mean over the examples of x (2 on, 3 where its unit is on).
    kernel = np.array([[2 * 1 + 2 * 3, 3 * 3], [2 * 2, 0]]) / 2
    bias = np.array([2 + 2, 3]) / 2
    norm = np.sqrt((kernel**2).sum() + (bias**2).sum())
    assert hidden["gradient_norm"] == pytest.approx(norm)
    assert hidden["parameter_norm"] == pytest.approx(2)
    assert hidden["update_norm"] == pytest.approx(norm / 2)
    assert hidden["update_ratio"] == pytest.approx(norm / 4)
    # outputs = [6, 15]; d/d head = the mean of hidden.
    head = found["head"]
    assert (head["mean"], head["std"]) == (10.5, 4.5)
    assert head["gradient_norm"] == pytest.approx(np.hypot(3, 1.5))
    assert head["parameter_norm"] == pytest.approx(np.sqrt(13))


def test_planted_dead_units_are_found(look):
    state = by_hand([[1.0, 1.0], [1.0, 1.0]], [0.0, -100.0], [[2.0], [3.0]])
    found = look(state, BATCH)
    assert (found["hidden"]["dead"], found["hidden"]["zeros"]) == (0.5, 0.5)
    assert found["head"]["dead"] == 0


def test_planted_exploding_gradients_are_found(look):
    quiet = by_hand([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0], [[1.0], [1.0]])
    loud = by_hand([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0], [[1e6], [1e6]])
    one, two = (
        look(state, BATCH)["hidden"]["gradient_norm"] for state in (quiet, loud)
    )
    assert two == pytest.approx(1e6 * one, rel=1e-5)


@pytest.mark.thorough
def test_the_mask_and_the_penalty_count_as_in_training():
    state = by_hand([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0], [[2.0], [3.0]])
    first = {name: values[:1] for name, values in BATCH.items()}
    masked = {**BATCH, "mask": np.array([1, 0], np.float32)}
    one, two = (
        layer_statistics(TwoLayers(), PLAIN, state, batch)["head"]["gradient_norm"]
        for batch in (first, masked)
    )
    assert one == two == 3
    penalised = layer_statistics(
        TwoLayers(),
        PLAIN,
        state,
        first,
        penalty=lambda params: params["head"]["kernel"].sum(),
    )
    assert penalised["head"]["gradient_norm"] == pytest.approx(np.hypot(3 + 1, 1))


class Mixed(nn.Module):
    """A norm before the activation, a sigmoid, a shared layer, a lifted one."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Dense(3, name="one")(x)
        x = nn.relu(nn.LayerNorm(name="norm")(x))
        x = nn.sigmoid(nn.Dense(3, name="two")(x))
        shared = nn.Dense(3, name="shared")
        x = jnp.maximum(shared(nn.relu(shared(x))), 0)
        x = nn.gelu(nn.Dense(3, name="gelu")(x))
        return nn.remat(nn.Dense)(2, name="lifted")(x)


@pytest.mark.thorough
def test_a_layer_gives_out_what_its_activation_makes_of_it(key):
    model, x = Mixed(), jax.random.normal(key, (5, 4))
    variables = model.init(key, x)
    found = layer_outputs(
        lambda params, x: model.apply({"params": params}, x), variables["params"], x
    )
    params = variables["params"]

    def dense(name, x):
        return nn.Dense(3).apply({"params": params[name]}, x)

    one = dense("one", x)
    norm = nn.relu(nn.LayerNorm().apply({"params": params["norm"]}, one))
    two = nn.sigmoid(dense("two", norm))
    shared = nn.relu(dense("shared", nn.relu(dense("shared", two))))
    # The tanh inside of gelu is not taken for the activation.
    expected = {"one": one, "norm": norm, "two": two, "shared": shared}
    expected["gelu"] = dense("gelu", shared)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)


@pytest.mark.thorough
def test_layers_that_cannot_be_seen_still_have_norms(key):
    task = Task(lambda outputs, batch: outputs[:, 0], lambda *args: {})
    state = init_state(Mixed(), TX, key, jnp.zeros((1, 4)))
    batch = {"image": np.ones((3, 4), np.float32)}
    found = layer_statistics(Mixed(), task, state, batch)
    assert list(found)[-1] == "lifted"
    assert set(found["lifted"]) == {"gradient_norm", "parameter_norm"}


@pytest.fixture(scope="module")
def numbers():
    return make_layer_statistics(nets.ConvNet(dropout=0.3), classification(), TX)


def run(hooks, step, num_steps=4, state=None):
    if state is None:
        model = nets.ConvNet(dropout=0.3)
        state = init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    return fit(state, step, nets.Batches(), num_steps=num_steps, hooks=hooks)


def step_for(how):
    model = nets.ConvNet(dropout=0.3)
    return parallelize(make_train_step(model, TX, classification()), how)


@pytest.mark.thorough
def test_the_hook_changes_no_number_and_resumes(numbers, tmp_path):
    step = step_for("jit")
    whole = run([], step)
    hook = LayerStatistics(numbers, tmp_path, every=2, picture=tmp_path / "layers.png")
    state = run([hook], step, num_steps=2)
    nets.assert_same(run([hook], step, state=state), whole)
    records = read_metrics(tmp_path)
    assert [r["step"] for r in records] == [2, 4]
    assert list(records[0]["layers"]) == ["conv", "norm", "head"]
    assert set(records[0]["layers"]["norm"]) == {
        "gradient_norm", "parameter_norm", "update_norm", "update_ratio",
        "mean", "std", "zeros", "dead",
    }  # fmt: skip
    assert (tmp_path / "layers.png").stat().st_size > 0


@pytest.mark.thorough
def test_a_mesh_sees_the_same(numbers):
    class See(Hook):
        def on_end(self, loop):
            found = jax.jit(numbers)(loop.state, loop.batch)
            self.found = jax.device_get(found)

    one, many = See(), See()
    run([one], step_for("jit"), num_steps=2)
    run([many], step_for(make_mesh()), num_steps=2)
    for name, values in one.found.items():
        for kind, value in values.items():
            np.testing.assert_allclose(many.found[name][kind], value, atol=1e-5)


def test_bad_options_are_refused(numbers, tmp_path):
    with pytest.raises(ValueError, match="every must be above 0, got 0"):
        LayerStatistics(numbers, tmp_path, every=0)
    with pytest.raises(ValueError, match="has no argument 'train'"):
        make_layer_statistics(nn.Dense(3), classification())
