"""Every lowering of a convolution equals XLA's own, and other platforms keep that."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxcnn.ops.convolution import CPU_LOWERINGS, conv, conv_general_dilated
from jaxcnn.ops.depthwise import depthwise_conv, suits_depthwise
from jaxcnn.ops.pointwise import pointwise_conv
from jaxcnn.ops.unfolded import unfolded_conv
from jaxcnn.ops.window import Window, plain_conv

# Image, kernel, stride, padding, dilation, groups, and what is to compute it.
CASES = {
    "depthwise": ((2, 9, 11, 4), (3, 3, 1, 4), 1, 1, 1, 4, depthwise_conv),
    "depthwise, one image": ((1, 7, 7, 3), (3, 3, 1, 3), 1, 1, 1, 3, depthwise_conv),
    "depthwise, stride": ((2, 9, 12, 4), (3, 3, 1, 4), 2, 1, 1, 4, depthwise_conv),
    "depthwise, uneven": (
        (2, 10, 19, 2),
        (3, 5, 1, 2),
        (2, 3),
        ((0, 1), (3, 1)),
        (1, 2),
        2,
        depthwise_conv,
    ),
    "depthwise, wide padding": (
        (1, 3, 4, 2),
        (2, 2, 1, 2),
        1,
        ((3, 2), (0, 4)),
        1,
        2,
        depthwise_conv,
    ),
    "depthwise, part unseen": (
        (1, 8, 9, 2),
        (2, 3, 1, 2),
        (4, 5),
        0,
        1,
        2,
        depthwise_conv,
    ),
    "depthwise, 5x5": ((2, 8, 8, 2), (5, 5, 1, 2), 2, 2, 1, 2, depthwise_conv),
    "depthwise, two a channel": (
        (2, 19, 6, 3),
        (3, 3, 1, 6),
        1,
        1,
        1,
        3,
        depthwise_conv,
    ),
    "pointwise": ((2, 5, 7, 4), (1, 1, 4, 6), 1, 0, 1, 1, pointwise_conv),
    "pointwise, stride": ((2, 5, 8, 4), (1, 1, 4, 6), (2, 3), 0, 1, 1, pointwise_conv),
    "pointwise, a line": ((2, 5, 4), (1, 4, 6), 2, 0, 1, 1, pointwise_conv),
    "pointwise, a volume": (
        (1, 3, 2, 3, 4),
        (1, 1, 1, 4, 2),
        2,
        0,
        1,
        1,
        pointwise_conv,
    ),
    "unfolded": ((2, 9, 9, 32), (5, 5, 32, 2), 2, 1, 1, 1, unfolded_conv),
    "depthwise, a line": ((2, 9, 4), (3, 4), 1, 1, 1, 4, plain_conv),
}


def case(name):
    x, kernel, stride, padding, dilation, groups, lowering = CASES[name]
    kernel = kernel if len(kernel) == len(x) else (kernel[0], 1, kernel[1])
    rank = len(x) - 2

    def each(n):
        return (n,) * rank if isinstance(n, int) else n

    if isinstance(padding, int):
        padding = ((padding, padding),) * rank
    window = Window(each(stride), padding, each(dilation), groups)
    return noise(*x), noise(*kernel), window, lowering


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def ours(x, kernel, window):
    stride, padding, dilation, groups = window
    return conv(
        x, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def chosen(x, kernel, window):
    for suits, lowering in CPU_LOWERINGS:
        if suits(x, kernel, window):
            return lowering
    return plain_conv


def both_orders(lowering, x, kernel, window):
    """Returns the result, its gradients, and those along one direction."""

    def objective(x, kernel):
        y = lowering(x, kernel, window)
        return jnp.sin(y).sum(), y

    def gradients(x, kernel):
        return jax.grad(objective, (0, 1), has_aux=True)(x, kernel)

    return jax.jit(lambda x, k: jax.jvp(gradients, (x, k), (jnp.cos(x), k)))(x, kernel)


# The rest compile for too long for every run.
QUICK = {"depthwise", "depthwise, uneven", "pointwise, stride"}


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.thorough) for n in CASES],
)
def test_equals_the_convolution_of_xla(name):
    x, kernel, window, lowering = case(name)
    assert chosen(x, kernel, window) is lowering
    found = both_orders(ours, x, kernel, window)
    expected = both_orders(plain_conv, x, kernel, window)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("image", "kernel", "window"),
    [
        ((2, 9, 4), (3, 1, 4), Window((1,), ((1, 1),), (1,), 4)),
        ((2, 9, 9, 4), (9, 9, 1, 4), Window((1, 1), ((4, 4),) * 2, (1, 1), 4)),
        ((2, 9, 9, 4), (3, 3, 2, 4), Window((1, 1), ((1, 1),) * 2, (1, 1), 2)),
        ((2, 9, 9, 4), (3, 3, 1, 4), Window((1, 1), ((-1, 1),) * 2, (1, 1), 4)),
        ((0, 9, 9, 4), (3, 3, 1, 4), Window((1, 1), ((1, 1),) * 2, (1, 1), 4)),
    ],
)
def test_what_does_not_pay_is_left_to_xla(image, kernel, window):
    assert not suits_depthwise(jnp.zeros(image), jnp.zeros(kernel), window)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["depthwise, uneven", "pointwise, stride"])
def test_gradients_agree_with_differences_in_float64(name):
    x, kernel, window, lowering = case(name)
    with jax.enable_x64(True):
        x, kernel = x.astype(np.float64), kernel.astype(np.float64)
        assert ours(x, kernel, window).dtype == jnp.float64
        function = jax.jit(lambda x, k: jnp.sin(lowering(x, k, window)).sum())
        along = [np.cos(7 * np.arange(a.size)).reshape(a.shape) for a in (x, kernel)]
        gradients = jax.jit(jax.grad(function, (0, 1)))(x, kernel)
        slope = float(sum(map(np.vdot, gradients, along)))
        tangent = float(jax.jvp(function, (x, kernel), tuple(along))[1])
        step = 1e-5
        above, below = (
            float(function(x + h * along[0], kernel + h * along[1]))
            for h in (step, -step)
        )
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(slope, tangent, rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["depthwise", "pointwise"])
def test_short_types_stay_and_round_once(name, dtype):
    x, kernel, window, _ = case(name)
    x, kernel = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    y = ours(x, kernel, window)
    exact = plain_conv(x.astype(jnp.float32), kernel.astype(jnp.float32), window)
    assert y.dtype == dtype
    size = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(y.astype(np.float32), exact, rtol=size, atol=size / 100)


@pytest.mark.parametrize("name", ["depthwise, stride", "pointwise, stride"])
def test_maps_over_images_and_kernels(name):
    x, kernel, window, _ = case(name)
    xs, kernels = jnp.stack([x, 2 * x, -x]), jnp.stack([kernel, kernel + 1, kernel])
    y = jax.vmap(functools.partial(ours, window=window))(xs, kernels)
    expected = [plain_conv(*pair, window) for pair in zip(xs, kernels, strict=True)]
    np.testing.assert_allclose(y, jnp.stack(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["depthwise", "pointwise", "unfolded"])
@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm"])
def test_accelerators_keep_the_convolution_of_xla(name, platform):
    x, kernel, window, _ = case(name)

    def loss(lowering, x, kernel):
        return jnp.sin(lowering(x, kernel, window)).sum()

    def text(lowering, *platforms):
        step = jax.jit(jax.grad(functools.partial(loss, lowering), (0, 1)))
        return step.trace(x, kernel).lower(lowering_platforms=platforms).as_text()

    there, here = text(ours, platform), text(ours, "cpu")
    plain = text(plain_conv, platform)
    assert there.count("stablehlo.convolution") == plain.count("stablehlo.convolution")
    assert "stablehlo.convolution" not in here


def test_one_file_for_several_platforms_runs_here():
    x, kernel, window, _ = case("depthwise")
    function = jax.jit(functools.partial(ours, window=window))
    shapes = (
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        jax.ShapeDtypeStruct(kernel.shape, x.dtype),
    )
    exported = jax.export.export(function, platforms=("cpu", "cuda"))(*shapes)
    np.testing.assert_array_equal(exported.call(x, kernel), function(x, kernel))


def three_layers(kernels, x):
    for kernel in kernels:
        x = jnp.sin(
            conv(x, kernel, stride=(1, 1), padding=[(1, 1)] * 2, dilation=(1, 1))
        )
    return x.sum()


def test_layers_of_one_shape_are_traced_and_written_once():
    kernels, x = [jnp.ones((3, 3, 16, 16))] * 3, jnp.ones((2, 8, 8, 16))
    step = jax.jit(jax.grad(three_layers, (0, 1)))
    text = step.trace(kernels, x).lower(lowering_platforms=("cpu",)).as_text()
    assert text.count("call @_traced_once") == 6
    assert text.count("func private @_traced_once") == 2  # forward and gradient
    # What other platforms would compute is not there for XLA to choose from.
    assert text.count("stablehlo.convolution") == 2


@pytest.mark.thorough
@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("name", ["depthwise, stride", "pointwise"])
def test_gradients_of_shards_add_up(name, check_vma):
    x, kernel, window, _ = case(name)
    x = np.tile(x, (4, 1, 1, 1))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def loss(lowering, x, kernel):
        return jnp.sin(lowering(x, kernel, window)).sum()

    def shard(x, kernel):
        kernel = jax.lax.pcast(kernel, "data", to="varying")
        dx, dk = jax.grad(functools.partial(loss, ours), (0, 1))(x, kernel)
        return dx, jax.lax.psum(dk, "data")

    specs = P("data"), P()
    step = jax.shard_map(
        shard, mesh=mesh, in_specs=specs, out_specs=specs, check_vma=check_vma
    )
    found = jax.jit(step)(x, kernel)
    expected = jax.jit(jax.grad(functools.partial(loss, plain_conv), (0, 1)))(x, kernel)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
def test_a_kernel_alike_on_all_shards_gets_the_sum():
    x, kernel, window, _ = case("depthwise")
    x = np.tile(x, (4, 1, 1, 1))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = jax.grad(lambda k, x: jnp.sin(ours(x, k, window)).sum())
    step = jax.shard_map(shard, mesh=mesh, in_specs=(P(), P("data")), out_specs=P())
    expected = jax.grad(lambda k: jnp.sin(plain_conv(x, k, window)).sum())(kernel)
    np.testing.assert_allclose(jax.jit(step)(kernel, x), expected, rtol=1e-4, atol=1e-4)


class Small(nn.Module):
    """Depthwise, pointwise and full layers of Flax, with any lowering."""

    lowering: object = None
    remat: bool = False

    @nn.compact
    def __call__(self, x):
        layer = nn.remat(nn.Conv) if self.remat else nn.Conv
        layer = functools.partial(layer, conv_general_dilated=self.lowering)
        x = layer(8, (1, 1), name="expand")(x)
        x = layer(8, (3, 3), 2, "SAME", feature_group_count=8, name="depthwise")(x)
        x = layer(4, (3, 3), padding=((0, 1), (1, 1)), name="full")(x)
        return layer(2, (1, 1), 1, ((0, 0),) * 2, input_dilation=2, name="dilated")(x)


@pytest.mark.thorough
@pytest.mark.parametrize("remat", [False, True])
def test_the_layers_of_flax_take_it(remat):
    x = noise(2, 8, 7, 3)
    plain, fast = Small(), Small(conv_general_dilated, remat)
    variables = plain.init(jax.random.key(0), x)
    same = jax.eval_shape(fast.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, same)

    def value_and_gradient(model):
        def loss(variables):
            return jnp.sin(model.apply(variables, x)).sum()

        return jax.jit(jax.value_and_grad(loss))(variables)

    found, expected = value_and_gradient(fast), value_and_gradient(plain)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    text = jax.jit(fast.apply).lower(variables, x).as_text()
    assert text.count("stablehlo.convolution") == 1  # the dilated one


@pytest.mark.parametrize(
    "options",
    [
        {"lhs_dilation": (2, 2)},
        {"precision": jax.lax.Precision.HIGHEST},
        {"dimension_numbers": ("NHWC", "OIHW", "NHWC"), "kernel": (6, 4, 1, 1)},
        {"preferred_element_type": jnp.float64},
    ],
)
def test_other_convolutions_go_to_jax(options):
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), **options}
    kernel = jnp.zeros(options.pop("kernel", (1, 1, 4, 6)))
    padding = ((0, 0), (0, 0))
    x = jnp.zeros((2, 5, 5, 4))

    def text(function):
        with jax.enable_x64(True):
            step = jax.jit(lambda x, k: function(x, k, (1, 1), padding, **options))
            return step.lower(x, kernel).as_text()

    assert text(conv_general_dilated) == text(jax.lax.conv_general_dilated)
