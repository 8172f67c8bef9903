"""Layers: values worked out by hand, names of parameters, messages."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import (
    ConvNorm,
    InceptionA,
    check_choice,
    check_number,
    check_numbers,
    conv_padding,
)
from jaxcnn.tree import count_params, flatten_named


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def shapes_of(module, shape, **kwargs):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x, **kwargs), x
    )


@pytest.mark.parametrize(
    ("padding", "kernel", "dilation", "pairs"),
    [
        ("same", (3, 3), 1, [(1, 1), (1, 1)]),
        ("SAME", (5, 1), 1, [(2, 2), (0, 0)]),
        ("same", (4,), 1, [(1, 2)]),
        ("same", (3,), 2, [(2, 2)]),
        ("valid", (5, 5), 1, [(0, 0), (0, 0)]),
        (3, (7, 7), 1, [(3, 3), (3, 3)]),
    ],
)
def test_conv_padding(padding, kernel, dilation, pairs):
    assert conv_padding(padding, kernel, dilation) == pairs


@pytest.mark.parametrize("padding", ["full", -1, None])
def test_wrong_padding_is_explained(padding):
    with pytest.raises(ValueError, match=f"padding must be 'same', .* got {padding!r}"):
        conv_padding(padding, (3, 3))


@pytest.mark.parametrize("size", [7, 8])
def test_padding_is_symmetric_at_stride_2(size):
    """An image of one bright pixel shows which taps the first output sees."""
    x = jnp.zeros((1, size, size, 1)).at[0, 0, 0, 0].set(1.0)
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
    norm = {"scale": jnp.ones(1), "bias": jnp.zeros(1)}
    statistics = {"mean": jnp.zeros(1), "var": jnp.ones(1)}
    y = ConvNorm(1, 3, 2).apply(
        {
            "params": {"conv": {"kernel": kernel}, "norm": norm},
            "batch_stats": {"norm": statistics},
        },
        x,
        train=False,
    )
    assert y.shape == (1, 4, 4, 1)
    np.testing.assert_allclose(y[0, 0, 0, 0], 4.0, rtol=1e-4)  # the kernel's centre


def test_conv_norm_normalises_and_remembers():
    x = noise(16, 5, 5, 3) * 3 + 1
    module = ConvNorm(4, 3, padding="valid")
    init = jax.jit(functools.partial(module.init, train=False))
    variables = init(jax.random.key(1), x)
    y, state = jax.jit(
        functools.partial(module.apply, train=True, mutable=["batch_stats"])
    )(variables, x)
    y = np.asarray(y)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)
    kernel = variables["params"]["conv"]["kernel"]
    raw = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    raw = np.asarray(raw)
    running = state["batch_stats"]["norm"]
    np.testing.assert_allclose(running["mean"], 0.1 * raw.mean((0, 1, 2)), atol=1e-4)
    expected = 0.9 + 0.1 * raw.var((0, 1, 2))
    np.testing.assert_allclose(running["var"], expected, rtol=1e-4)


def test_conv_norm_names_groups_dilation_and_rank():
    y, variables = shapes_of(
        ConvNorm(8, (3, 5), groups=2, dilation=2), (1, 9, 9, 4), train=True
    )
    assert y.shape == (1, 9, 9, 8)
    assert {k: v.shape for k, v in flatten_named(variables).items()} == {
        "batch_stats/norm/mean": (8,),
        "batch_stats/norm/var": (8,),
        "params/conv/kernel": (3, 5, 2, 8),
        "params/norm/bias": (8,),
        "params/norm/scale": (8,),
    }
    assert shapes_of(ConvNorm(8, 3, 2), (1, 9, 4), train=True)[0].shape == (1, 5, 8)


@pytest.mark.thorough
def test_axis_name_shares_statistics_between_devices():
    x = noise(4, 3, 2, 2, 1)
    module = ConvNorm(2, 1, axis_name="devices")
    variables = module.init(jax.random.key(1), x[0], train=False)

    def apply(x):
        return module.apply(variables, x, train=True, mutable=["batch_stats"])

    y, state = jax.vmap(apply, axis_name="devices")(x)
    whole, expected = ConvNorm(2, 1).apply(
        variables, x.reshape(12, 2, 2, 1), train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y.reshape(whole.shape), whole, atol=1e-5)
    for leaf, value in flatten_named(expected).items():
        for each in flatten_named(state)[leaf]:
            np.testing.assert_allclose(each, value, rtol=1e-5, err_msg=leaf)


def test_inception_a_is_its_four_branches():
    x = noise(2, 6, 6, 3)
    block = InceptionA(2, (2, 3), (2, 3, 4), 5)
    y, variables = jax.jit(
        lambda x: block.init_with_output(jax.random.key(1), x, train=False)
    )(x)
    assert y.shape == (2, 6, 6, 2 + 3 + 4 + 5)

    def conv(x, *names):
        for name in names:
            params = variables["params"][name]
            kernel = params["kernel"]
            layer = nn.Conv(kernel.shape[3], kernel.shape[:2])
            x = layer.apply({"params": params}, x)
        return x

    @jax.jit
    def by_hand(x):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        parts = [
            conv(x, "branch1x1"),
            conv(x, "branch5x5_1", "branch5x5_2"),
            conv(x, "branch3x3_1", "branch3x3_2", "branch3x3_3"),
            conv(nn.avg_pool(padded, (3, 3)), "branch_pool"),
        ]
        return jnp.concatenate(parts, -1)

    np.testing.assert_allclose(y, by_hand(x), atol=1e-5)


def test_inception_a_of_the_courses_has_88_channels():
    y, variables = shapes_of(InceptionA(), (1, 12, 12, 10), train=False)
    assert y.shape == (1, 12, 12, 88)
    assert count_params(variables["params"]) == 18_960 + 16 * 3 + 24 * 4


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"branch5x5": (16,)}, r"branch5x5 needs .* 2 convolutions, got \(16,\)"),
        ({"branch3x3": (1, 2)}, "branch3x3 needs the channels of 3 convolutions"),
    ],
)
def test_wrong_branch_widths_are_explained(kwargs, message):
    with pytest.raises(ValueError, match=message):
        InceptionA(**kwargs)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_choice("pool", 3, ["max", None]), "pool=3 .*: 'max', None"),
        (lambda: check_number("n", 1.5, 1), "n must be a whole number .* 1, got 1.5"),
        (lambda: check_number("n", True, 1), "n must be a whole number"),
        (lambda: check_number("p", 1.0, 0, 1, whole=False), "less than 1, got 1.0"),
        (lambda: check_number("p", "x", 0, 1, whole=False), "a number .* got 'x'"),
        (lambda: check_numbers("n", 3, 1), "n must be a sequence .* got 3"),
        (lambda: check_numbers("n", (3, 0), 1), "n must be .* at least 1, got 0"),
    ],
)
def test_wrong_values_are_explained(check, message):
    with pytest.raises(ValueError, match=message):
        check()
