"""Every convolution against loops in NumPy, in one, two and three dimensions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import (
    Conv,
    ConvTranspose,
    DepthwiseConv,
    LocallyConnected,
    SeparableConv,
    conv_padding,
)
from jaxcnn.ops import pad
from jaxcnn.tree import count_params, flatten_named

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect"}
NUMPY_MODES |= {"replicate": "edge", "circular": "wrap"}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def with_noise(module, x):
    """Returns the module's parameters, all of them random."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    leaves, treedef = jax.tree.flatten(shapes)
    arrays = [noise(*leaf.shape, seed=1 + k) for k, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, arrays)


def by_loop(x, kernel, stride, padding, dilation, groups=1, mode="zeros"):
    """A convolution as it is defined. Every argument has one entry an axis."""
    x = np.pad(x, [(0, 0), *padding, (0, 0)], NUMPY_MODES[mode])
    *size, inside, features = kernel.shape
    out = [
        (n - d * (f - 1) - 1) // s + 1
        for n, f, s, d in zip(x.shape[1:-1], size, stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), *out, features), np.float32)
    for place in np.ndindex(*out):
        for tap in np.ndindex(*size):
            at = [
                p * s + t * d
                for p, s, t, d in zip(place, stride, tap, dilation, strict=True)
            ]
            pixel = x[:, *at]
            for f in range(features):
                first = f // (features // groups) * inside
                y[:, *place, f] += pixel[:, first : first + inside] @ kernel[*tap, :, f]
    return y


CONVS = [
    # spatial shape, options
    ((7,), {"kernel_size": 3}),
    ((9,), {"kernel_size": 4, "stride": 2, "dilation": 2, "groups": 2}),
    ((8,), {"kernel_size": 5, "padding": [(1, 3)], "padding_mode": "circular"}),
    ((6, 5), {"kernel_size": (3, 2), "stride": (2, 1)}),
    ((6, 7), {"kernel_size": 3, "dilation": (1, 2), "padding": 2, "groups": 4}),
    ((5, 6), {"kernel_size": 3, "padding_mode": "reflect", "use_bias": False}),
    ((6, 2), {"kernel_size": (7, 1), "padding_mode": "reflect"}),
    ((5, 6), {"kernel_size": (5, 3), "stride": 2, "padding_mode": "circular"}),
    ((5, 6), {"kernel_size": 3, "dilation": 2, "padding_mode": "replicate"}),
    ((6, 5), {"kernel_size": 3, "stride": 2, "padding": "tensorflow"}),
    ((3, 4, 5), {"kernel_size": (1, 3, 2), "stride": (1, 2, 2), "groups": 2}),
    ((4, 4, 3), {"kernel_size": 2, "padding": "valid", "dilation": (1, 2, 1)}),
    ((4, 3, 3), {"kernel_size": 3, "padding_mode": "replicate"}),
]


def each(value, rank):
    return (value,) * rank if isinstance(value, int) else value


@pytest.mark.parametrize(("shape", "options"), CONVS)
def test_conv_is_its_definition(shape, options):
    x, rank = noise(2, *shape, 4), len(shape)
    module = Conv(8, **options)
    params = with_noise(module, x)
    size, stride, dilation = (
        each(options.get(name, 1), rank)
        for name in ("kernel_size", "stride", "dilation")
    )
    expected = by_loop(
        x,
        params["kernel"],
        stride,
        conv_padding(
            module.padding, size, dilation, stride=stride, image=x.shape[1:-1]
        ),
        dilation,
        module.groups,
        module.padding_mode,
    )
    got = module.apply({"params": params}, x)
    assert got.shape == expected.shape
    assert ("bias" in params) == module.use_bias
    np.testing.assert_allclose(got, expected + params.get("bias", 0), atol=1e-4)


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_tensorflow_padding_is_what_xla_calls_same(size, stride, dilation):
    x = noise(1, size, size + 1, 2)
    module = Conv(3, (3, 2), stride, "tensorflow", dilation=dilation, use_bias=False)
    params = with_noise(module, x)
    expected = jax.lax.conv_general_dilated(
        x,
        params["kernel"],
        (stride, stride),
        "SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-6)


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_pad_is_numpys(mode):
    x = noise(2, 4, 3, 2)
    widths = [(3, 1), (0, 2)]
    expected = np.pad(x, [(0, 0), *widths, (0, 0)], NUMPY_MODES[mode])
    np.testing.assert_array_equal(pad(x, widths, mode), expected)


def transposed_by_loop(x, kernel, stride, padding, extra, dilation, groups):
    """Each input adds its multiple of the kernel to the output; then the crop."""
    *size, features, channels = kernel.shape
    spans = [d * (f - 1) + 1 for d, f in zip(dilation, size, strict=True)]
    full = [
        (n - 1) * s + span + e
        for n, s, span, e in zip(x.shape[1:-1], stride, spans, extra, strict=True)
    ]
    y = np.zeros((len(x), *full, features * groups), np.float32)
    inside = channels // groups
    for place in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*size):
            at = [
                p * s + t * d
                for p, s, t, d in zip(place, stride, tap, dilation, strict=True)
            ]
            for g in range(groups):
                some = slice(g * inside, (g + 1) * inside)
                out = slice(g * features, (g + 1) * features)
                y[:, *at, out] += x[:, *place, some] @ kernel[*tap, :, some].T
    cut = [slice(low, n - high) for n, (low, high) in zip(full, padding, strict=True)]
    return y[:, *cut]


TRANSPOSED = [
    ((4,), {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}),
    ((5,), {"kernel_size": 4, "stride": 3, "dilation": 2, "groups": 2}),
    ((3,), {"kernel_size": 1, "stride": 2, "padding": 1}),
    ((3, 4), {"kernel_size": (4, 3), "stride": 2, "padding": [(1, 1), (0, 1)]}),
    ((3, 4), {"kernel_size": 3, "padding": "same", "use_bias": False}),
    ((2, 3), {"kernel_size": 2, "dilation": (3, 1), "output_padding": (2, 0)}),
    ((2, 3, 2), {"kernel_size": 2, "stride": (1, 2, 2), "output_padding": (0, 1, 1)}),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("shape", "options"), TRANSPOSED)
def test_transposed_convolution_is_its_definition(shape, options):
    x, rank = noise(2, *shape, 4), len(shape)
    module = ConvTranspose(6, **options)
    params = with_noise(module, x)
    defaults = {"stride": 1, "dilation": 1, "output_padding": 0}
    size, stride, dilation, extra = (
        each(options.get(name, defaults.get(name)), rank)
        for name in ("kernel_size", "stride", "dilation", "output_padding")
    )
    assert params["kernel"].shape == (*size, 6 // module.groups, 4)
    expected = transposed_by_loop(
        x,
        params["kernel"],
        stride,
        conv_padding(module.padding, size, dilation),
        extra,
        dilation,
        module.groups,
    )
    got = module.apply({"params": params}, x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected + params.get("bias", 0), atol=1e-4)


def test_transposed_convolution_is_the_gradient_of_the_convolution():
    x, y = noise(1, 7, 8, 3), noise(1, 4, 4, 5)
    kernel = noise(3, 3, 3, 5)
    down = Conv(5, 3, 2, 1, use_bias=False)
    _, pull = jax.vjp(lambda x: down.apply({"params": {"kernel": kernel}}, x), x)
    up = ConvTranspose(3, 3, 2, 1, (0, 1), use_bias=False)
    got = up.apply({"params": {"kernel": kernel}}, y)
    np.testing.assert_allclose(got, pull(y)[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 3, 4)])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_is_a_convolution_of_each_channel(shape, multiplier):
    x, rank = noise(2, *shape, 3), len(shape)
    module = DepthwiseConv(3, 2, multiplier)
    params = with_noise(module, x)
    assert params["kernel"].shape == (*(3,) * rank, 1, 3 * multiplier)
    got = module.apply({"params": params}, x)
    for channel, kernel in itertools.product(range(3), range(multiplier)):
        out = channel * multiplier + kernel
        expected = by_loop(
            x[..., channel : channel + 1],
            params["kernel"][..., out : out + 1],
            (2,) * rank,
            [(1, 1)] * rank,
            (1,) * rank,
        )
        expected += params["bias"][out]
        np.testing.assert_allclose(got[..., out], expected[..., 0], atol=1e-5)


def test_separable_is_depthwise_then_pointwise():
    x = noise(2, 6, 5, 3)
    module = SeparableConv(4, 3, 2, multiplier=2, padding_mode="reflect", dilation=2)
    params = with_noise(module, x)
    assert {k: v.shape for k, v in flatten_named(params).items()} == {
        "depthwise/kernel": (3, 3, 1, 6),
        "pointwise/kernel": (1, 1, 6, 4),
        "pointwise/bias": (4,),
    }
    middle = DepthwiseConv(
        3, 2, 2, padding_mode="reflect", dilation=2, use_bias=False
    ).apply({"params": params["depthwise"]}, x)
    kernel, bias = params["pointwise"]["kernel"][0, 0], params["pointwise"]["bias"]
    got = module.apply({"params": params}, x)
    np.testing.assert_allclose(got, np.asarray(middle) @ kernel + bias, atol=1e-4)


LOCAL = [
    ((7,), {"kernel_size": 3, "stride": 2}),
    ((4, 5), {"kernel_size": (2, 3), "padding": "same", "padding_mode": "circular"}),
    ((5, 4), {"kernel_size": 2, "dilation": 2, "stride": (2, 1), "use_bias": False}),
    ((2, 3, 3), {"kernel_size": 2}),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("shape", "options"), LOCAL)
def test_locally_connected_has_a_convolution_at_every_position(shape, options):
    x, rank = noise(2, *shape, 3), len(shape)
    module = LocallyConnected(4, **options)
    params = with_noise(module, x)
    got = module.apply({"params": params}, x)
    out = got.shape[1:-1]
    size = each(options["kernel_size"], rank)
    assert params["kernel"].shape == (*out, *size, 3, 4)
    weights = np.prod(size) * 3 * 4
    per_position = weights + 4 * module.use_bias
    assert count_params(params) == np.prod(out) * per_position
    conv = {k: v for k, v in options.items() if k != "use_bias"}
    conv = {"padding": "valid"} | conv
    for place in np.ndindex(*out):
        whole = Conv(4, use_bias=False, **conv).apply(
            {"params": {"kernel": params["kernel"][place]}}, x
        )
        expected = np.array(whole[:, *place])
        if "bias" in params:
            expected += params["bias"][place]
        np.testing.assert_allclose(got[:, *place], expected, atol=1e-5)


@pytest.mark.thorough
def test_kernels_start_with_the_variance_of_their_fan_in():
    key = jax.random.key(0)
    x = jnp.zeros((1, 12, 12, 8))
    local = LocallyConnected(16).init(key, x)["params"]["kernel"]
    np.testing.assert_allclose(jnp.var(local), 1 / 72, rtol=0.05)
    assert not np.array_equal(local[0, 0], local[0, 1])
    up = ConvTranspose(64).init(key, x)["params"]["kernel"]
    np.testing.assert_allclose(jnp.var(up), 1 / 72, rtol=0.05)
    depthwise = DepthwiseConv(7, multiplier=32).init(key, x)["params"]["kernel"]
    np.testing.assert_allclose(jnp.var(depthwise), 1 / 49, rtol=0.05)


MODULES = [
    Conv(4, dtype=jnp.bfloat16),
    ConvTranspose(4, dtype=jnp.bfloat16),
    DepthwiseConv(dtype=jnp.bfloat16),
    SeparableConv(4, dtype=jnp.bfloat16),
    LocallyConnected(4, dtype=jnp.bfloat16),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_bfloat16_computes_in_it_and_keeps_parameters_float32(module):
    x = jnp.ones((1, 5, 5, 4))
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def call(module, *shape):
    return lambda: jax.eval_shape(module().init, jax.random.key(0), jnp.ones(shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(0), "features must be a whole number of at least 1, got 0"),
        (lambda: Conv(4, 0), "kernel_size must be .* at least 1, got 0"),
        (lambda: Conv(4, 3, (1, 0)), "stride must be .* at least 1, got 0"),
        (lambda: Conv(4, dilation=-1), "dilation must be .* at least 1, got -1"),
        (
            lambda: Conv(4, padding_mode="mirror"),
            "padding_mode='mirror' is unknown. .*'replicate'",
        ),
        (
            call(lambda: Conv(4), 2, 3),
            r"Conv needs \[batch, \*spatial, channels\] with one .* got shape \(2, 3\)",
        ),
        (
            call(lambda: Conv(4, groups=2), 1, 5, 5, 3),
            "groups=2 must divide both the 3 channels of the input and features=4",
        ),
        (
            call(lambda: Conv(4, (3, 3)), 1, 5, 3),
            r"Got \(3, 3\) for an input with 1 spatial axes",
        ),
        (
            call(lambda: Conv(4, 5, padding="valid"), 1, 4, 6, 3),
            r"Conv: a kernel that spans \(5, 5\) does not fit an input of .*\(1, 4, 6",
        ),
        (
            call(lambda: Conv(4, 7, padding_mode="reflect"), 1, 3, 9, 3),
            "padding_mode='reflect' can add at most 2 pixels to an axis of 3, not 3",
        ),
        (lambda: DepthwiseConv(multiplier=0), "multiplier must be .* got 0"),
        (lambda: SeparableConv(4, multiplier=0.5), "multiplier must be a whole .*0.5"),
        (
            call(lambda: DepthwiseConv(5, padding=0), 1, 3, 2),
            r"DepthwiseConv: a kernel that spans \(5,\) does not fit",
        ),
        (
            call(lambda: LocallyConnected(4, 5), 1, 3, 2),
            r"LocallyConnected: a kernel that spans \(5,\) does not fit",
        ),
        (
            call(lambda: LocallyConnected(4), 3, 2),
            r"LocallyConnected needs \[batch, \*spatial, channels\]",
        ),
        (
            lambda: ConvTranspose(4, padding="tensorflow"),
            "ConvTranspose takes padding 'same', 'valid', .* got 'tensorflow'",
        ),
        (
            lambda: ConvTranspose(4, output_padding=-1),
            "output_padding must be .* got -1",
        ),
        (
            call(lambda: ConvTranspose(4, 3, 2, output_padding=2), 1, 5, 3),
            r"output_padding=2 must be smaller than the stride, \(2,\), or",
        ),
        (
            call(lambda: ConvTranspose(4, 3, padding=3), 1, 4, 3),
            r"padding=3 leaves nothing of .*\(1, 4, 3\): its size would be \(0,\)",
        ),
        (
            call(lambda: ConvTranspose(4, groups=3), 1, 4, 6),
            "groups=3 must divide both the 6 channels of the input and features=4",
        ),
    ],
)
def test_misuse_is_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
