"""Activations do what their docstrings say: formula, range and derivative, evaluated.

The docstrings are written in NumPy's words, so that the tests need no second list.
"""

import functools
import importlib.util
import inspect
import math
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxcnn.layers import (
    ACTIVATION_MODULES,
    ACTIVATIONS,
    ConvNorm,
    NoisyReLU,
    PReLU,
    RReLU,
    SqueezeExcite,
    apply_activation,
    check_activation,
    make_activation,
)
from jaxcnn.models import Cnn, LeNet5, Mlp
from jaxcnn.tree import flatten_named

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("make_act", DOCS / "make_activations.py")
PICTURES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PICTURES)

NAMES = [*ACTIVATIONS, *ACTIVATION_MODULES]
# Between the points where some of them have no derivative.
POINTS = np.linspace(-7.03, 7.01, 300)
FAR = np.concatenate([np.linspace(-8, 8, 40_001), [-1e4, -1e2, 1e2, 1e4]])


def function_of(name):
    """Returns the activation as a function of any array; modules in evaluation."""
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    variables = {"params": {"alpha": np.array([0.25])}} if name == "prelu" else {}
    module = ACTIVATION_MODULES[name]()
    return functools.partial(module.apply, variables, train=False)


def said(name, fact, x, **values):
    """Returns what a docstring says, computed by NumPy in float64."""
    documented = ACTIVATIONS.get(name) or ACTIVATION_MODULES[name]
    words = {word: getattr(np, word) for word in dir(np) if word[0] != "_"}
    words |= {"erf": scipy.special.erf, "sigmoid": scipy.special.expit, "x": x}
    words |= {"alpha": 0.25, "slope": (1 / 8 + 1 / 3) / 2, "noise": 0.0}
    words |= {"y": np.maximum(x, 0), "t": np.tanh(np.logaddexp(0, x))}
    words["g"] = (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    if name in ACTIVATIONS:
        parameters = inspect.signature(documented).parameters.values()
        words |= {p.name: p.default for p in parameters if p.default is not p.empty}
    result = eval(PICTURES.facts_of(documented)[fact], {**words, **values})
    return np.broadcast_to(np.asarray(result, float), x.shape)


@functools.cache
def computed(name):
    """Returns values, derivatives and small differences in float64, all at once."""
    function = function_of(name)

    @jax.jit
    def compute(x, far):
        step = 1e-5
        return {
            "values": function(x),
            "derivatives": jax.grad(lambda x: function(x).sum())(x),
            "differences": (function(x + step) - function(x - step)) / (2 * step),
            "far": function(far),
        }

    with jax.enable_x64(True):
        return jax.device_get(compute(jnp.asarray(POINTS), jnp.asarray(FAR)))


@pytest.mark.parametrize("name", NAMES)
def test_the_formula_of_the_docstring(name):
    expected = said(name, "Formula", POINTS)
    np.testing.assert_allclose(computed(name)["values"], expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_the_docstring_and_of_small_differences(name):
    got, expected = computed(name), said(name, "Derivative", POINTS)
    np.testing.assert_allclose(got["derivatives"], got["differences"], atol=1e-8)
    np.testing.assert_allclose(got["derivatives"], expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_range_of_the_docstring(name):
    values = computed(name)["far"]
    documented = ACTIVATIONS.get(name) or ACTIVATION_MODULES[name]
    text = PICTURES.facts_of(documented)["Range"]
    if text == "{0, 1}":
        assert set(values) == {0.0, 1.0}
        return
    low, high = eval(f"({text[1:-1]})", {"inf": np.inf, "pi": np.pi, "alpha": 1.0})
    for end, value, closed in [
        (low, values.min(), text[0] == "["),
        (high, values.max(), text[-1] == "]"),
    ]:
        if math.isinf(end):
            # The least slope is that of leaky ReLU.
            assert value * np.sign(end) >= 99
        else:
            assert abs(value - end) < (1e-6 if closed else 2e-4)
    near = values[np.abs(FAR) < 5]
    if text[0] == "(":
        assert near.min() > low
    if text[-1] == ")":
        assert near.max() < high


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_stay_finite_far_out(name):
    x = jnp.array([-1e4, -200.0, -90.0, 0.0, 90.0, 200.0, 1e4], jnp.float32)
    function = function_of(name)
    both = jax.jit(lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),)))
    assert np.isfinite(both(x)).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_stays_half(name):
    x = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)
    assert jax.eval_shape(function_of(name), x).dtype == jnp.bfloat16


@pytest.mark.parametrize("name", sorted(ACTIVATION_MODULES))
def test_half_precision_stays_half_in_training(name):
    x = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)
    module = ACTIVATION_MODULES[name]()
    apply = functools.partial(module.init_with_output, train=True)
    assert jax.eval_shape(apply, jax.random.key(0), x)[0].dtype == jnp.bfloat16


def test_gelu_by_tanh_is_near():
    difference = np.abs(
        said("gelu", "Formula", FAR) - said("gelu_tanh", "Formula", FAR)
    )
    assert 0.0004 < difference.max() < 0.0005


def test_the_page_shows_every_activation_as_its_docstring_has_it():
    page = (DOCS / "layers.md").read_text()
    assert PICTURES.table() in page
    listed = {name for name in NAMES if f"| `{name}` |" in PICTURES.table()}
    assert listed == set(NAMES) - {"swish"}
    assert "images/activations.png" in page
    assert PICTURES.PICTURE.stat().st_size < 200_000


@pytest.mark.slow
def test_the_picture_has_a_panel_an_activation(tmp_path):
    PICTURES.draw(tmp_path / "activations.svg")
    text = (tmp_path / "activations.svg").read_text()
    for name in (*set(NAMES) - {"swish"}, "derivative"):
        assert f"<!-- {name} -->" in text, name


@pytest.mark.parametrize(
    ("per_channel", "slopes", "gradient"),
    [(False, [0.5], [-7.0]), (True, [0.5, 0.1], [-1.0, -6.0])],
)
def test_prelu_learns_one_slope_a_layer_or_a_channel(per_channel, slopes, gradient):
    x = np.array([[-1.0, -2.0], [3.0, -4.0]], np.float32)
    module = PReLU(per_channel)

    @jax.jit
    def compute(alpha):
        total = jax.value_and_grad(
            lambda alpha: module.apply({"params": {"alpha": alpha}}, x).sum()
        )
        return module.init(jax.random.key(0), x), total(alpha)

    start, (total, slope_gradient) = compute(jnp.array(slopes))
    assert start["params"]["alpha"].tolist() == [0.25] * len(slopes)
    expected = np.where(x >= 0, x, np.broadcast_to(slopes, (2, 2)) * x).sum()
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert slope_gradient.tolist() == gradient


def test_rrelu_draws_a_slope_for_each_value_in_training_alone():
    x = -jnp.ones((100, 50))
    train = functools.partial(RReLU().apply, {}, x, train=True)
    y = np.asarray(train(rngs={"dropout": jax.random.key(1)}))
    assert 1 / 8 <= -y.max() < 1 / 8 + 0.001
    assert 1 / 3 - 0.001 < -y.min() <= 1 / 3
    assert len(np.unique(y)) > 4900
    np.testing.assert_allclose(y.mean(), -(1 / 8 + 1 / 3) / 2, rtol=0.01)
    other = train(rngs={"dropout": jax.random.key(2)})
    assert not np.array_equal(y, other)
    fixed = RReLU(0.1, 0.3).apply({}, x, train=False)
    np.testing.assert_allclose(fixed, -0.2, rtol=1e-6)
    kept = RReLU().apply({}, -x, train=True, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(kept, -x)


def test_noisy_relu_adds_noise_whose_variance_is_the_sigmoid():
    rngs = {"dropout": jax.random.key(1)}
    apply = jax.jit(functools.partial(NoisyReLU().apply, {}, train=True, rngs=rngs))
    for mean in (-0.3, 6.0):
        y = np.asarray(apply(np.full((200, 200), mean, np.float32)))
        noise = np.linspace(-8, 8, 4001)
        weights = np.exp(-(noise**2) / 2)
        moments = said("noisy_relu", "Formula", np.full(4001, mean), noise=noise)
        average = np.average(moments, weights=weights)
        np.testing.assert_allclose(y.mean(), average, rtol=0.02)
        spread = np.sqrt(np.average((moments - average) ** 2, weights=weights))
        np.testing.assert_allclose(y.std(), spread, rtol=0.02)
        assert (y.min() == 0) == (mean < 0)


def test_the_derivative_of_noisy_relu_in_training():
    x = jnp.linspace(-2, 3, 50)
    rngs = {"dropout": jax.random.key(3)}

    @jax.jit
    def apply(x):
        layer = functools.partial(NoisyReLU().apply, {}, train=True, rngs=rngs)
        return layer(x), jax.grad(lambda x: layer(x).sum())(x)

    y, gradient = apply(x)
    x, y = np.asarray(x, float), np.asarray(y, float)
    noise = (y - x) / np.sqrt(scipy.special.expit(x))
    expected = said("noisy_relu", "Derivative", x, y=y, noise=noise)
    assert 5 < (y == 0).sum() < 45
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
    far = jnp.array([-200.0, -1e4])
    assert apply(far)[1].tolist() == [0.0, 0.0]


def names_of(model, shape=(1, 8, 8, 1)):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    init = functools.partial(model.init, train=False)
    return flatten_named(jax.eval_shape(init, jax.random.key(0), image)["params"])


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (ConvNorm(4, activation="prelu"), {"act/alpha": (1,)}),
        (
            ConvNorm(4, activation=functools.partial(PReLU, per_channel=True)),
            {"act/alpha": (4,)},
        ),
        (
            Cnn((4, 4), hidden=(5,), activation=PReLU),
            {"stage1_act1/alpha": (1,), "stage2_act1/alpha": (1,)}
            | {"hidden1_act/alpha": (1,)},
        ),
        (
            Mlp((5, 6), activation="prelu"),
            {"hidden1_act/alpha": (1,), "hidden2_act/alpha": (1,)},
        ),
        (ConvNorm(4, activation="rrelu"), {}),
        (Cnn((4,), activation=jnp.sin), {}),
    ],
)
def test_layers_and_models_take_modules_by_name_or_class(model, names):
    found = {k: v.shape for k, v in names_of(model).items() if "alpha" in k}
    assert found == names


def test_a_module_in_a_model_is_told_whether_it_trains():
    x = jnp.ones((2, 4, 4, 1)) - 2
    model = Cnn((3,), activation="rrelu", num_classes=0)
    variables = jax.jit(model.init)(jax.random.key(0), x)

    @functools.partial(jax.jit, static_argnames="train")
    def apply(seed, train):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, x, train=train, rngs=rngs)

    assert not np.array_equal(apply(1, train=True), apply(2, train=True))
    np.testing.assert_array_equal(apply(1, train=False), apply(2, train=False))


def test_activations_by_name_and_by_function():
    for name, function in ACTIVATIONS.items():
        assert make_activation(name) is function
    assert make_activation(jnp.sin) is jnp.sin
    assert ACTIVATIONS["swish"] is ACTIVATIONS["silu"]


MISTAKES = [
    (lambda: make_activation("rellu"), r"'rellu' .* mean 'relu'\?.* 'celu'"),
    (lambda: make_activation("prelu"), "'prelu' learns .* module PReLU.*apply_activ"),
    (lambda: make_activation(RReLU), "random numbers: it is the module RReLU"),
    (lambda: check_activation("prellu"), r"'prellu' .* mean 'prelu'\?"),
    (lambda: check_activation(3), "activation=3 is unknown"),
    (lambda: check_activation(None), "activation=None is unknown"),
    (lambda: check_activation(PReLU()), r"one module PReLU, .*functools.partial\(PRe"),
    (lambda: Cnn(activation="rellu"), r"mean 'relu'\?"),
    (lambda: Mlp(activation="rellu"), r"mean 'relu'\?"),
    (lambda: LeNet5(activation="prelu"), "it is the module PReLU"),
    (
        lambda: jax.eval_shape(
            SqueezeExcite(2, gate="prelu").init, jax.random.key(0), np.ones((1, 2, 3))
        ),
        "it is the module PReLU",
    ),
    (
        lambda: apply_activation("rellu", jnp.zeros(1), train=True, name="act"),
        r"mean 'relu'\?",
    ),
    (lambda: RReLU(0.5, 0.25), "upper must be a number of at least 0.5, got 0.25"),
    (lambda: RReLU(-1.0), "lower must be a number of at least 0, got -1.0"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_wrong_activations_are_explained(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def test_a_module_of_the_user_takes_any_activation():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = apply_activation("prelu", x, train=train, name="first")
            return apply_activation(jnp.abs, x, train=train, name="second")

    y, variables = Block().init_with_output(
        jax.random.key(0), jnp.array([-4.0]), train=True
    )
    assert y.tolist() == [1.0]
    assert list(flatten_named(variables)) == ["params/first/alpha"]
