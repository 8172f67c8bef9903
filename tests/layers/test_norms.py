"""Each norm against its published equation, written over axes in NumPy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import summarize
from jaxcnn.layers import NORMS, ConvNorm, LocalResponseNorm, make_norm
from jaxcnn.models import Cnn
from jaxcnn.tree import flatten_named

EPSILON = 1e-5


def images(*shape):
    """Returns images whose mean and spread differ by example, position and channel."""
    rng = np.random.default_rng(0)
    size = [shape[0], *(1 for _ in shape[1:-1]), shape[-1]]
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, size) + rng.normal(size=size)
    return x.astype(np.float32)


def parameters(channels):
    rng = np.random.default_rng(1)
    return {
        "scale": rng.uniform(0.5, 2, channels).astype(np.float32),
        "bias": rng.normal(size=channels).astype(np.float32),
    }


def apply(kind, params, x):
    """Returns the output in training, and the batch statistics behind it."""
    size = x.shape[-1]
    stats = {"mean": np.zeros(size, "f"), "var": np.ones(size, "f")}
    norm = make_norm(kind, size, train=True)
    variables = {"params": params, "batch_stats": stats}
    apply = functools.partial(norm.apply, mutable=["batch_stats"])
    return jax.device_get(jax.jit(apply)(variables, x))


def standardised(x, axes):
    """Returns (x - mean) / sqrt(variance + epsilon), in float64."""
    x = x.astype(np.float64)
    mean = x.sum(axes, keepdims=True) / np.prod([x.shape[a] for a in axes])
    variance = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON)


def group_equation(x, groups):
    *outer, channels = x.shape
    grouped = x.reshape(*outer, groups, channels // groups)
    axes = (*range(1, x.ndim - 1), x.ndim)
    return standardised(grouped, axes).reshape(x.shape)


EQUATIONS = {
    "batch": lambda x: standardised(x, tuple(range(x.ndim - 1))),
    "layer": lambda x: standardised(x, (x.ndim - 1,)),
    "layer_example": lambda x: standardised(x, tuple(range(1, x.ndim))),
    "group": lambda x: group_equation(x, 4),  # the most that divide 32 and 12
    "instance": lambda x: standardised(x, tuple(range(1, x.ndim - 1))),
}


def test_every_norm_has_an_equation_here():
    assert set(EQUATIONS) == set(NORMS) - {"local_response"}


@pytest.mark.parametrize("shape", [(3, 7, 12), (3, 4, 5, 12), (2, 3, 4, 2, 12)])
@pytest.mark.parametrize("kind", EQUATIONS)
def test_norms_are_their_equations_in_1_to_3_dimensions(kind, shape):
    x = images(*shape)
    params = parameters(12)
    y, _ = apply(kind, params, x)
    expected = EQUATIONS[kind](x) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, expected, atol=2e-5)
    for other, equation in EQUATIONS.items():
        if other != kind:
            wrong = equation(x) * params["scale"] + params["bias"]
            assert np.abs(y - wrong).max() > 0.1, other


def test_norms_by_hand():
    """Means 2 and 5, deviations 1 and 3, of what each of them looks at."""
    x = jnp.array([1.0, 3.0, 2.0, 8.0]).reshape(1, 2, 1, 2)
    expected = {
        "layer": [-1, 1, -1, 1],
        "instance": [-1, -1, 1, 1],
        "batch": [-1, -1, 1, 1],
        # Mean 3.5, variance (6.25 + 0.25 + 2.25 + 20.25) / 4 = 7.25.
        "layer_example": np.array([-2.5, -0.5, -1.5, 4.5]) / np.sqrt(7.25),
        "group": [-1, -1, 1, 1],  # two groups of one channel
    }
    for kind, values in expected.items():
        y, _ = apply(kind, {"scale": np.ones(2), "bias": np.zeros(2)}, x)
        np.testing.assert_allclose(y.ravel(), values, atol=1e-4, err_msg=kind)


def test_batch_norm_evaluates_with_running_statistics():
    x = images(8, 3, 3, 4)
    params = parameters(4)
    _, state = apply("batch", params, x)
    running = state["batch_stats"]
    mean, var = x.mean((0, 1, 2)), x.astype(float).var((0, 1, 2))
    np.testing.assert_allclose(running["mean"], 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(running["var"], 0.9 + 0.1 * var, rtol=1e-4)
    evaluate = make_norm("batch", 4, train=False)
    y = jax.jit(evaluate.apply)({"params": params, **state}, x)
    expected = (x - running["mean"]) / np.sqrt(running["var"] + EPSILON)
    expected = expected * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(set(NORMS) - {"batch", "local_response"}))
def test_other_norms_treat_each_example_alone(kind):
    x = images(4, 3, 3, 8)
    params = parameters(8)
    (y, _), (alone, _) = apply(kind, params, x), apply(kind, params, x[2:3])
    np.testing.assert_allclose(y[2:3], alone, atol=1e-5)
    init = make_norm(kind, 8, train=True).init
    variables = jax.eval_shape(init, jax.random.key(0), x)
    assert set(flatten_named(variables)) == {"params/scale", "params/bias"}
    assert variables["params"]["scale"].shape == (8,)


def test_the_layer_norm_with_a_scale_for_each_value_is_flaxs():
    """What the docstring of `make_norm` says of the paper's layer norm."""
    x = images(2, 3, 4, 5)
    norm = nn.LayerNorm(EPSILON, reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3))
    init = jax.jit(norm.init_with_output)
    y, variables = init(jax.random.key(0), x)
    assert variables["params"]["scale"].shape == (3, 4, 5)
    np.testing.assert_allclose(y, EQUATIONS["layer_example"](x), atol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (12, 4), (5, 1)])
def test_group_norm_takes_the_most_groups_that_divide(channels, groups):
    x = images(2, 4, 4, channels)
    params = {"scale": np.ones(channels), "bias": np.zeros(channels)}
    y, _ = apply("group", params, x)
    np.testing.assert_allclose(y, group_equation(x, groups), atol=2e-5)


def local_response(x, size, alpha, beta, k):
    """Section 3.3 of the paper, one value after the other."""
    y = np.empty_like(x, dtype=float)
    channels = x.shape[-1]
    for index in np.ndindex(x.shape):
        *place, i = index
        low, high = max(0, i - size // 2), min(channels - 1, i + (size - 1) // 2)
        total = sum(float(x[(*place, j)]) ** 2 for j in range(low, high + 1))
        y[index] = x[index] / (k + alpha * total) ** beta
    return y


@pytest.mark.parametrize("shape", [(2, 3, 9), (1, 2, 2, 2, 4)])
@pytest.mark.parametrize("size", [5, 4, 1])
def test_local_response_is_its_equation(shape, size):
    x = images(*shape) * 20
    y = jax.jit(LocalResponseNorm(size).apply)({}, x)
    expected = local_response(x, size, alpha=1e-4, beta=0.75, k=2)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    divided = LocalResponseNorm(size, divide_by_size=True, k=1.0)
    divided = jax.jit(divided.apply)({}, x)
    expected = local_response(x, size, alpha=1e-4 / size, beta=0.75, k=1)
    np.testing.assert_allclose(divided, expected, rtol=1e-5)


def test_local_response_by_hand():
    x = jnp.array([10.0, 20.0, 30.0, 0.0, 0.0, 40.0]).reshape(1, 1, 1, 6)
    y, variables = make_norm("local_response", 6, train=True).init_with_output(
        jax.random.key(0), x
    )
    # 1400, 1400, 1400, 2900 = 20² + 30² + 40², 2500, 1600.
    sums = np.array([1400, 1400, 1400, 2900, 2500, 1600])
    np.testing.assert_allclose(y.ravel(), x.ravel() / (2 + 1e-4 * sums) ** 0.75)
    assert not variables


def test_local_response_in_a_model_keeps_biases_and_receptive_field():
    options = {"features": (4, 4), "norm_position": "after"}
    plain = summarize(Cnn(**options), (1, 12, 12, 1))
    normed = summarize(Cnn(norm="local_response", **options), (1, 12, 12, 1))
    assert normed.params == plain.params
    assert normed.receptive_field == plain.receptive_field == 10


@pytest.mark.parametrize("kind", NORMS)
def test_the_cnn_takes_every_norm(kind):
    init = functools.partial(Cnn((4,), norm=kind).init, jax.random.key(0))
    shapes = jax.eval_shape(init, jax.ShapeDtypeStruct((2, 6, 6, 1), jnp.float32))
    has_bias = "bias" in shapes["params"]["stage1_conv1"]
    assert has_bias == (kind == "local_response")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: make_norm("batches", 3, train=True), "norm='batches'.* 'batch'"),
        (lambda: LocalResponseNorm(0), "size must be a whole number .* got 0"),
        (lambda: LocalResponseNorm(2.5), "size must be a whole number .* got 2.5"),
        (lambda: Cnn(norm="layers"), r"mean 'layer'\?"),
    ],
)
def test_wrong_norms_are_explained(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def test_conv_norm_is_convolution_then_batch_norm():
    x = images(4, 5, 5, 3)
    init = functools.partial(ConvNorm(2, 1).init_with_output, train=True)
    y, variables = jax.jit(init)(jax.random.key(0), x)
    raw = x @ np.asarray(variables["params"]["conv"]["kernel"])[0, 0]
    np.testing.assert_allclose(y, EQUATIONS["batch"](raw), atol=1e-4)
