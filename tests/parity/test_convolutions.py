"""Layers against PyTorch's of the same name, in one, two and three dimensions."""

import jax
import numpy as np
import pytest

from jaxcnn.layers import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from jaxcnn.ops import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    max_pool,
    pixel_shuffle,
    pixel_unshuffle,
)

from .compare import assert_close
from .convert import images

pytestmark = pytest.mark.parity


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def named(torch, prefix, rank):
    return getattr(torch.nn, f"{prefix}{rank}d")


def ours(weight):
    """`[out, in, *spatial]` as `[*spatial, in, out]`: moves the first two axes back."""
    return np.moveaxis(weight.detach().numpy(), (0, 1), (-1, -2))


SIZES = {1: (11,), 2: (9, 8), 3: (6, 5, 7)}
CONVS = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
    {"kernel_size": 2, "stride": 3, "dilation": 2},
    {"kernel_size": 3, "dilation": 2, "padding": "same", "bias": False},
    {"kernel_size": 4, "padding": 3, "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": 2, "padding_mode": "replicate", "stride": 2},
    {"kernel_size": 3, "padding": 3, "padding_mode": "circular", "dilation": 2},
]


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("options", CONVS)
def test_convolution_and_its_gradients(torch, rank, options):
    layer = named(torch, "Conv", rank)(4, 6, **options)
    x = noise(2, *SIZES[rank], 4)
    inputs = torch.from_numpy(images(x)).requires_grad_()
    expected = layer(inputs)
    cotangent = noise(*channels_last(expected).shape, seed=1)
    expected.backward(torch.from_numpy(images(cotangent)))
    options = dict(options)
    bias = options.pop("bias", True)
    module = Conv(6, use_bias=bias, **{"padding": 0, **options})
    params = {"kernel": ours(layer.weight)}
    if bias:
        params["bias"] = layer.bias.detach().numpy()
    got, pull = jax.vjp(jax.jit(lambda p, x: module.apply({"params": p}, x)), params, x)
    assert_close(got, channels_last(expected), 1e-5)
    gradients, gradient = pull(cotangent)
    assert_close(gradient, channels_last(inputs.grad), 1e-5)
    assert_close(gradients["kernel"], ours(layer.weight.grad), 1e-5)


TRANSPOSED = [
    {"kernel_size": 3},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": 3, "stride": 3, "dilation": 2, "output_padding": 2},
    {"kernel_size": 2, "dilation": 3, "output_padding": 2, "bias": False},
    {"kernel_size": 3, "stride": 2, "padding": 2, "groups": 2},
]


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("options", TRANSPOSED)
def test_transposed_convolution_and_its_gradients(torch, rank, options):
    layer = named(torch, "ConvTranspose", rank)(4, 6, **options)
    x = noise(2, *SIZES[rank], 4)
    inputs = torch.from_numpy(images(x)).requires_grad_()
    expected = layer(inputs)
    cotangent = noise(*channels_last(expected).shape, seed=1)
    expected.backward(torch.from_numpy(images(cotangent)))
    options = dict(options)
    bias = options.pop("bias", True)
    module = ConvTranspose(6, use_bias=bias, **options)
    params = {"kernel": ours(layer.weight)}  # [in, out, ...]: [..., out, in]
    if bias:
        params["bias"] = layer.bias.detach().numpy()
    got, pull = jax.vjp(jax.jit(lambda p, x: module.apply({"params": p}, x)), params, x)
    assert_close(got, channels_last(expected), 1e-5)
    gradients, gradient = pull(cotangent)
    assert_close(gradient, channels_last(inputs.grad), 1e-5)
    assert_close(gradients["kernel"], ours(layer.weight.grad), 1e-5)


@pytest.mark.parametrize("rank", SIZES)
def test_depthwise_and_separable(torch, rank):
    conv = named(torch, "Conv", rank)
    depthwise = conv(4, 8, 3, stride=2, padding=1, groups=4, bias=False)
    pointwise = conv(8, 5, 1)
    x = noise(2, *SIZES[rank], 4)
    middle = depthwise(torch.from_numpy(images(x)))
    params = {
        "depthwise": {"kernel": ours(depthwise.weight)},
        "pointwise": {
            "kernel": ours(pointwise.weight),
            "bias": pointwise.bias.detach().numpy(),
        },
    }
    got = DepthwiseConv(3, 2, 2, use_bias=False).apply(
        {"params": params["depthwise"]}, x
    )
    assert_close(got, channels_last(middle), 1e-5)
    got = SeparableConv(5, 3, 2, multiplier=2).apply({"params": params}, x)
    assert_close(got, channels_last(pointwise(middle)), 1e-5)


POOLS = [
    # window, stride, padding
    (2, 2, 1),
    (3, 2, 0),
    (3, 2, 1),
    (4, 3, 2),
    (2, 3, 1),
    (6, 4, 0),
]


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("window", "stride", "padding"), POOLS)
def test_pools(torch, rank, window, stride, padding, ceil_mode):
    """Odd and even sizes, and with `ceil_mode` also inputs below the window."""
    arguments = (window, stride, padding)
    shifts = range(-2 if ceil_mode else 0, 4) if rank == 1 else [0]
    for shift in shifts:
        size = [max(n, window) + shift for n in SIZES[rank]]
        size[0] = size[0] if rank > 1 else window + shift
        room = min(size) + 2 * padding - window + ceil_mode * (stride - 1)
        if min(size) < 1 or room < 0:  # PyTorch refuses these, as we do
            continue
        x = noise(2, *size, 3)
        inputs = torch.from_numpy(images(x))
        largest = named(torch, "MaxPool", rank)(*arguments, ceil_mode=ceil_mode)
        expected = channels_last(largest(inputs))
        got = max_pool(x, *arguments, ceil_mode=ceil_mode)
        np.testing.assert_array_equal(got, expected)
        for include in (True, False):
            mean = named(torch, "AvgPool", rank)(
                *arguments, ceil_mode=ceil_mode, count_include_pad=include
            )
            got = avg_pool(
                x, *arguments, count_include_pad=include, ceil_mode=ceil_mode
            )
            assert_close(got, channels_last(mean(inputs)), 1e-5)


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("size", [1, 3, 5, 13])
def test_adaptive_pools_and_their_gradients(torch, rank, size):
    x = noise(2, *SIZES[rank], 3)
    for name, pool in (("Avg", adaptive_avg_pool), ("Max", adaptive_max_pool)):
        inputs = torch.from_numpy(images(x)).requires_grad_()
        expected = named(torch, f"Adaptive{name}Pool", rank)(size)(inputs)
        cotangent = noise(*channels_last(expected).shape, seed=1)
        expected.backward(torch.from_numpy(images(cotangent)))
        got, pull = jax.vjp(jax.jit(lambda x, pool=pool: pool(x, size)), x)
        assert_close(got, channels_last(expected), 1e-5)
        assert_close(pull(cotangent)[0], channels_last(inputs.grad), 1e-5)


def test_pixel_shuffles(torch):
    x = noise(2, 4, 6, 18)
    expected = torch.nn.PixelShuffle(3)(torch.from_numpy(images(x)))
    np.testing.assert_array_equal(pixel_shuffle(x, 3), channels_last(expected))
    expected = torch.nn.PixelUnshuffle(2)(torch.from_numpy(images(x)))
    np.testing.assert_array_equal(pixel_unshuffle(x, 2), channels_last(expected))
