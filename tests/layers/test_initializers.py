"""Initialisers draw what their names say."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import (
    INITIALIZERS,
    Conv,
    ConvAct,
    ConvNorm,
    ConvTranspose,
    DepthwiseConv,
    LocallyConnected,
    PrimaryCapsules,
    RoutedCapsules,
    SeparableConv,
    SqueezeExcite,
    make_initializer,
)
from jaxcnn.layers.initializers import INITIALIZER_NAMES
from jaxcnn.tree import flatten_named

SHAPE = (3, 3, 16, 64)
IN, OUT = 9 * 16, 9 * 64
VARIANCES = {
    "glorot_normal": 2 / (IN + OUT),
    "glorot_uniform": 2 / (IN + OUT),
    "he_normal": 2 / IN,
    "he_normal_fan_out": 2 / OUT,
    "he_uniform": 2 / IN,
    "lecun_normal": 1 / IN,
    "lecun_uniform": 1 / IN,
    "normal": 1e-4,
    "truncated_normal": 1e-4 * 0.7737413,  # of a normal cut at two deviations
    "uniform_fan_in": 1 / 3 / IN,
}
ALIASES = {
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "torch": "uniform_fan_in",
    "xavier_normal": "glorot_normal",
    "xavier_uniform": "glorot_uniform",
}


@functools.cache
def draw(name, shape=SHAPE, **options):
    return np.asarray(make_initializer(name, **options)(jax.random.key(0), shape))


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_every_name_is_tested():
    others = {"zeros", "ones", "constant", "orthogonal", "dirac"}
    assert set(INITIALIZER_NAMES) == {*VARIANCES, *ALIASES, *others}
    assert set(INITIALIZERS) == set(INITIALIZER_NAMES) - {"constant"}


@pytest.mark.thorough
@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance(name):
    kernel = draw(name)
    deviation = np.sqrt(VARIANCES[name])
    assert abs(kernel.mean()) < 0.05 * deviation
    np.testing.assert_allclose(kernel.var(), VARIANCES[name], rtol=0.05)


@pytest.mark.parametrize("name", ["glorot", "he", "lecun"])
def test_uniform_ones_end_at_root_three_deviations(name):
    bound = np.sqrt(3 * VARIANCES[f"{name}_uniform"])
    largest = np.abs(draw(f"{name}_uniform")).max()
    assert 0.99 * bound < largest <= bound * (1 + 1e-6)


def test_uniform_fan_in_ends_at_one_over_root_n():
    bound = 1 / np.sqrt(IN)
    assert 0.99 * bound < np.abs(draw("uniform_fan_in")).max() <= bound
    dense = draw("uniform_fan_in", (400, 30))
    assert 0.0495 < np.abs(dense).max() <= 0.05


def test_truncated_normal_ends_at_two_deviations():
    assert 0.195 < np.abs(draw("truncated_normal", std=0.1)).max() <= 0.2
    assert np.abs(draw("normal", std=0.1)).max() > 0.3


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_aliases(alias, name):
    assert INITIALIZERS[alias] is INITIALIZERS[name]


def test_constants():
    assert (draw("zeros") == 0).all()
    assert (draw("ones") == 1).all()
    assert (draw("constant", value=-1.5) == -1.5).all()
    assert draw("constant", (2,), value=3).dtype == np.float32


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(3, 3, 4, 20), (3, 3, 2, 40), (30, 10), (5, 7, 7)])
def test_orthogonal(shape):
    matrix = draw("orthogonal", shape).reshape(-1, shape[-1])
    small = matrix.T @ matrix if matrix.shape[0] >= shape[-1] else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-5)
    doubled = draw("orthogonal", shape, gain=2.0).reshape(matrix.shape)
    np.testing.assert_allclose(doubled, 2 * matrix, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_kernels_of_half_the_size(name):
    kernel = INITIALIZERS[name](jax.random.key(0), (3, 4, 5), jnp.bfloat16)
    assert (kernel.dtype, kernel.shape) == (jnp.bfloat16, (3, 4, 5))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (functools.partial(Conv, 4), (1, 5, 5, 6)),
        (functools.partial(ConvNorm, 4), (1, 5, 5, 6)),
        (functools.partial(ConvAct, 4), (1, 5, 6)),
        (functools.partial(ConvTranspose, 4), (1, 5, 5, 6)),
        (functools.partial(LocallyConnected, 4), (1, 5, 5, 6)),
        (DepthwiseConv, (1, 5, 5, 6)),
        (functools.partial(SeparableConv, 4), (1, 5, 5, 6)),
        (functools.partial(SqueezeExcite, 2), (1, 5, 5, 6)),
        (functools.partial(PrimaryCapsules, 2, 4, 3), (1, 5, 5, 6)),
        (functools.partial(RoutedCapsules, 2), (1, 5, 6)),
    ],
)
def test_layers_take_initialisers_by_name(make, shape):
    def kernels(kernel_init):
        layer, x = make(kernel_init=kernel_init), np.ones(shape, np.float32)
        train = {"train": False} if isinstance(layer, ConvNorm) else {}
        named = flatten_named(layer.init(jax.random.key(0), x, **train)["params"])
        return [leaf for name, leaf in named.items() if name.endswith("kernel")]

    assert kernels("ones")
    assert all((kernel == 1).all() for kernel in kernels("ones"))
    with pytest.raises(ValueError, match=r"'one' is unknown\. Did you mean 'ones'"):
        kernels("one")


def test_a_transposed_kernel_counts_its_fan_in_over_the_channels_in():
    layer = ConvTranspose(16, 3, kernel_init="he_normal")
    x = np.ones((1, 4, 4, 256), np.float32)
    kernel = layer.init(jax.random.key(0), x)["params"]["kernel"]
    assert kernel.shape == (3, 3, 16, 256)
    np.testing.assert_allclose(kernel.var(), 2 / (9 * 256), rtol=0.05)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [3, 4])
def test_a_dirac_convolution_is_the_identity(rank, groups, kernel):
    x = noise(2, *(6, 5, 4)[:rank], 4)
    conv = Conv(
        4,
        kernel,
        groups=groups,
        kernel_init=make_initializer("dirac", groups=groups),
    )
    y, _ = jax.jit(conv.init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)


def test_dirac_with_more_or_fewer_channels_out():
    x = noise(1, 4, 4, 6)

    def apply(features, groups=1):
        init = make_initializer("dirac", groups=groups)
        conv = Conv(features, groups=groups, kernel_init=init)
        return np.asarray(jax.jit(conv.init_with_output)(jax.random.key(0), x)[0])

    np.testing.assert_array_equal(apply(4), x[..., :4])
    wide = apply(8)
    np.testing.assert_array_equal(wide[..., :6], x)
    assert (wide[..., 6:] == 0).all()
    # Each group gives its first two of three channels; or its three and a zero.
    np.testing.assert_array_equal(apply(4, 2), x[..., [0, 1, 3, 4]])
    wide = apply(8, 2)
    np.testing.assert_array_equal(wide[..., [0, 1, 2, 4, 5, 6]], x)
    assert (wide[..., [3, 7]] == 0).all()


def test_dirac_of_a_dense_layer():
    assert draw("dirac", (2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_an_initializer_may_be_a_function():
    assert make_initializer(nn.initializers.zeros) is nn.initializers.zeros
    assert make_initializer("he_normal") is INITIALIZERS["he_normal"]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: make_initializer("he"), "kernel_init='he' is unknown.*he_normal"),
        (lambda: make_initializer("constant"), "'constant' needs the argument 'value'"),
        (
            lambda: make_initializer("normal", stdd=1),
            r"no argument 'stdd'.* mean 'std'",
        ),
        (lambda: make_initializer("zeros", value=1), "'zeros' has no argument 'value'"),
        (lambda: make_initializer(nn.initializers.zeros, a=1), "no options, got {'a'"),
        (
            lambda: make_initializer("normal", std=-1.0),
            "std must be a number .* got -1",
        ),
        (
            lambda: make_initializer("truncated_normal", std="x"),
            "std must be a number .* got 'x'",
        ),
        (lambda: make_initializer("dirac", groups=0), "groups must be .* got 0"),
        (lambda: draw("dirac", (3, 4, 5), groups=2), r"groups=2 .* shape \(3, 4, 5\)"),
        (lambda: draw("dirac", (3,)), r"dirac needs a kernel .* shape \(3,\)"),
    ],
)
def test_wrong_initializers_are_explained(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()
