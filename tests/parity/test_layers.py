"""Layers that PyTorch has under the same name, for the same numbers."""

import jax
import numpy as np
import pytest

from jaxcnn.layers import (
    ACTIVATION_MODULES,
    ACTIVATIONS,
    LocalResponseNorm,
    make_initializer,
    make_norm,
)

pytestmark = pytest.mark.parity

# What PyTorch calls them; it has no identity worth a test, step, arctan or noisy ReLU.
NAMES = {
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hard_sigmoid": "Hardsigmoid",
    "hard_swish": "Hardswish",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "prelu": "PReLU",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "rrelu": "RReLU",
    "selu": "SELU",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32) * 3


def channels_first(torch, x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def compare(ours, theirs):
    theirs = np.moveaxis(theirs.detach().numpy(), 1, -1)
    largest = np.abs(theirs).max()
    assert np.abs(np.asarray(ours) - theirs).max() / largest < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_activations(name, torch):
    x = images(2, 3, 4, 5)
    theirs = getattr(torch.nn, NAMES[name])().eval()
    if name in ACTIVATIONS:
        ours = ACTIVATIONS[name](x)
    else:
        module = ACTIVATION_MODULES[name]()
        ours, _ = module.init_with_output(jax.random.key(0), x, train=False)
    compare(ours, theirs(channels_first(torch, x)))


def test_the_approximate_gelu(torch):
    x = images(2, 3, 4, 5)
    theirs = torch.nn.GELU(approximate="tanh")(channels_first(torch, x))
    compare(ACTIVATIONS["gelu_tanh"](x), theirs)


@pytest.mark.parametrize("shape", [(2, 5, 9), (2, 3, 4, 9), (1, 2, 3, 2, 9)])
@pytest.mark.parametrize("size", [5, 4, 1])
def test_local_response_norm(shape, size, torch):
    x = images(*shape) * 20
    theirs = torch.nn.LocalResponseNorm(size, alpha=0.01)(channels_first(torch, x))
    ours = LocalResponseNorm(size, alpha=0.01, k=1.0, divide_by_size=True)
    compare(ours.apply({}, x), theirs)
    # The paper's, said in PyTorch's words: alpha times the number of channels.
    theirs = torch.nn.LocalResponseNorm(size, alpha=1e-4 * size, k=2.0)
    compare(LocalResponseNorm(size).apply({}, x), theirs(channels_first(torch, x)))


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("batch", lambda nn: nn.BatchNorm2d(8)),
        ("instance", lambda nn: nn.InstanceNorm2d(8)),
        ("group", lambda nn: nn.GroupNorm(8, 8)),
        ("layer_example", lambda nn: nn.LayerNorm([8, 4, 5])),
    ],
)
def test_norms(kind, make, torch):
    x = images(3, 4, 5, 8)
    norm = make_norm(kind, 8, train=True)
    ours, _ = norm.init_with_output(jax.random.key(0), x)
    compare(ours, make(torch.nn)(channels_first(torch, x)))


def test_the_layer_norm_of_each_position(torch):
    x = images(3, 4, 5, 8)
    ours, _ = make_norm("layer", 8, train=True).init_with_output(jax.random.key(0), x)
    theirs = torch.nn.LayerNorm(8)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("channels", "features"), [(4, 4), (3, 8), (4, 2)])
def test_dirac(rank, groups, channels, features, torch):
    kernel = (3, 5, 1)[:rank]
    theirs = torch.nn.init.dirac_(torch.empty(features, channels, *kernel), groups)
    init = make_initializer("dirac", groups=groups)
    ours = np.asarray(init(None, (*kernel, channels, features)))
    np.testing.assert_array_equal(np.moveaxis(ours, (-1, -2), (0, 1)), theirs.numpy())
