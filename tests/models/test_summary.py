import doctest
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxcnn.layers import (
    Conv,
    ConvTranspose,
    DepthwiseConv,
    LocallyConnected,
    SeparableConv,
)
from jaxcnn.models import summary
from jaxcnn.models.summary import summarize
from jaxcnn.registry import create_model


class LeNet(nn.Module):
    """A user's own: compact, functional pooling, no `train`."""

    @nn.compact
    def __call__(self, x):
        for index, features in enumerate((10, 20), start=1):
            x = nn.Conv(features, (5, 5), padding="VALID", name=f"conv{index}")(x)
            x = nn.relu(nn.max_pool(x, (2, 2), (2, 2)))
        return nn.Dense(10, name="head")(x.reshape(x.shape[0], -1))


class Residual(nn.Module):
    """A convolution, a norm and a scale of its own beside a strided shortcut."""

    @nn.compact
    def __call__(self, x, *, train):
        scale = self.param("scale", nn.initializers.ones, ())
        y = nn.Conv(4, (3, 3), 2, padding=1, use_bias=False, name="conv")(x)
        y = nn.BatchNorm(use_running_average=not train, name="norm")(y)
        return scale * y + nn.Conv(4, (1, 1), 2, use_bias=False, name="shortcut")(x)


class Twice(nn.Module):
    """One shared convolution, called twice."""

    @nn.compact
    def __call__(self, x):
        conv = nn.Conv(x.shape[-1], (3, 3), name="conv")
        return conv(conv(x))


class Nested(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = Residual(name="block1")(x, train=train)
        x = nn.Dropout(0.5, deterministic=not train, name="dropout")(x)
        x = Residual(name="block2")(x, train=train)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


def test_the_example_of_the_docstring():
    result = doctest.testmod(summary)
    assert result.attempted
    assert result.failed == 0


def test_lenet_by_hand():
    table = summarize(LeNet(), (1, 28, 28, 1))
    conv1, conv2, head = table.rows
    assert (conv1.path, conv1.type) == ("conv1", "Conv")
    assert (conv1.kernel, conv1.stride) == ((5, 5), (1, 1))
    assert conv1.output_shape == (1, 24, 24, 10)
    assert (conv1.params, conv2.params, head.params) == (260, 5_020, 3_210)
    assert conv1.macs == 24 * 24 * 10 * 25
    assert conv2.macs == 8 * 8 * 20 * 250
    assert head.macs == 320 * 10
    assert (conv1.receptive_field, conv2.receptive_field) == (5, 14)
    assert head.receptive_field is None
    assert (table.params, table.macs) == (8_490, 467_200)
    assert table.receptive_field == 16  # 1, 5, 6, 14, 16


# Receptive fields: LeNet 1, 5, 6, 14, 16. ResNet-18: 7 after the stem, 11 after its
# pool, then two 3x3 a block, 4, 8, 16 and 32 pixels apart: 43, 99, 211, 435. ResNet-50
# has one 3x3 a block, the first of a stage at the finer step: 35, 91, 267, 427. The
# Inception blocks reach furthest through two 3x3, or one 5x5: 6, 14; 24, 40. CIFAR
# ResNets: 3, then 6 (18) 3x3 a stage, 1, 2 and 4 pixels apart, the first of a stage at
# the finer step: 15, 37, 81 (39, 109, 249).
GOLDEN = {
    "lenet": ((28, 28, 1), 467_200, 16),
    "lenet5": ((28, 28, 1), 416_520, 16),
    "inception_small": ((28, 28, 1), 6_019_200, 40),
    "resnet20_cifar": ((32, 32, 3), 40_551_040, 81),
    "resnet56_cifar": ((32, 32, 3), 125_485_696, 249),
    "resnet18": ((224, 224, 3), 1_814_073_344, 435),
    "resnet50": ((224, 224, 3), 4_089_184_256, 427),
    "denoising_autoencoder": ((28, 28, 1), 6_002_304, 15),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_registered_models(name):
    image, macs, field = GOLDEN[name]
    table = summarize(create_model(name), (1, *image))
    assert (table.macs, table.receptive_field) == (macs, field)


def test_multiply_adds_are_those_of_one_image():
    one, many = (summarize(LeNet(), (n, 28, 28, 1)) for n in (1, 7))
    assert many.macs == one.macs
    assert many.receptive_field == one.receptive_field


def test_the_table_reads_well():
    lines = str(summarize(LeNet(), (1, 28, 28, 1))).splitlines()
    assert lines[0] == "LeNet"
    assert lines[2].split() == (
        "layer type output kernel stride parameters multiply-adds field bytes".split()
    )
    assert lines[4].split() == (
        "conv1 Conv 1x24x24x10 5x5 1x1 260 144,000 5 23,040".split()
    )
    assert len({len(line) for line in lines[2:6]}) == 1
    assert "parameters       8,490" in lines
    assert "receptive field  16 pixels" in lines


def test_json_survives_a_round_trip():
    table = summarize(LeNet(), (1, 28, 28, 1))
    read = json.loads(json.dumps(table.to_json()))
    assert read["params"] == 8_490
    assert read["input_shape"] == [1, 28, 28, 1]
    assert [row["path"] for row in read["rows"]] == ["conv1", "conv2", "head"]
    assert read["rows"][0]["kernel"] == [5, 5]
    assert read["rows"][2]["receptive_field"] is None


def test_transposed_convolution_counts_its_input_positions():
    layer = nn.ConvTranspose(8, (3, 3), strides=(2, 2))
    table = summarize(layer, (1, 7, 7, 4))
    assert table.rows[0].output_shape == (1, 14, 14, 8)
    assert table.macs == 7 * 7 * 9 * 4 * 8
    assert table.params == 9 * 4 * 8 + 8


def test_grouped_dense_and_attention_layers():
    grouped = nn.Conv(8, (3, 3), feature_group_count=4, use_bias=False)
    assert summarize(grouped, (1, 5, 6, 4)).macs == 5 * 6 * 9 * 8
    positions = nn.DenseGeneral((2, 5), use_bias=False)
    assert summarize(positions, (2, 3, 3, 4)).macs == 9 * 4 * 10
    local = nn.ConvLocal(8, (3, 3), padding="VALID", use_bias=False)
    assert summarize(local, (1, 5, 5, 4)).macs == 3 * 3 * 9 * 4 * 8


def test_a_shared_layer_has_one_row_and_two_calls():
    table = summarize(Twice(), (1, 8, 8, 2))
    (row,) = table.rows
    assert (row.calls, row.params, row.macs) == (2, 38, 2 * 64 * 9 * 4)
    assert "Conv x2" in str(table)
    assert table.receptive_field == 5


def paths(table):
    return [row.path for row in table.rows]


def test_depth_adds_what_it_hides():
    whole = summarize(Nested(), (1, 16, 16, 3), train=False)
    top = summarize(Nested(), (1, 16, 16, 3), depth=1, train=False)
    assert paths(top) == ["block1", "dropout", "block2", "head"]
    assert paths(whole)[:4] == [
        "block1",
        "block1/conv",
        "block1/norm",
        "block1/shortcut",
    ]
    assert (top.params, top.macs) == (whole.params, whole.macs)
    assert top.rows[0].params == sum(row.params for row in whole.rows[:4])
    assert whole.rows[0].params == 1  # the scale alone
    assert top.rows[0].macs == 8 * 8 * (27 + 3) * 4


def test_training_mode_changes_nothing():
    rows = [summarize(Nested(), (4, 16, 16, 3), train=t).rows for t in (False, True)]
    assert rows[0] == rows[1]


def test_parameters_of_the_model_itself_are_a_row():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.param("scale", nn.initializers.ones, (1, 3)) * nn.Dense(3)(x)

    table = summarize(Scaled(), (1, 2))
    assert [(row.path, row.params) for row in table.rows] == [("", 3), ("Dense_0", 9)]
    assert table.params == 12
    assert "(model)" in str(table)


def test_no_array_is_made():
    before = len(jax.live_arrays())
    huge = nn.Dense(10**6, use_bias=False)
    assert summarize(huge, (10**5, 10**6)).params == 10**12
    assert len(jax.live_arrays()) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: summarize("resnet50", (1, 8)), "Linen module, got 'resnet50'; create"),
        (lambda: summarize(LeNet(), (28,)), r"input_shape must be .* got \(28,\)"),
        (lambda: summarize(LeNet(), (0, 28, 28, 1)), r"positive integers.*got \(0, 28"),
        (
            lambda: summarize(LeNet(), (1, 28, 28, 1), depth=0),
            "at least 1 or None, got 0",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Receptive fields. Each function maps [1, size, size, 2] to features, with weights that
# are all positive, so that every path shows in the gradient.


def conv(x, size=3, stride=1, *, dilation=1, spread=1, padding="VALID"):
    kernel = jnp.ones((size, size, x.shape[-1], 2))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        lhs_dilation=(spread, spread),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def average(x, size, stride=None):
    return nn.avg_pool(x, (size, size), (stride or size,) * 2)


def by_slices(x):
    """Pooling as operations on strided slices do it."""
    return x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]


def by_blocks(x):
    """Pooling as a sum within blocks."""
    n, h, w, c = x.shape
    return conv(x.reshape(n, h // 2, 2, w // 2, 2, c).sum((2, 4)))


def shifted(x):
    """A 3x3 convolution as shifted products along one axis, then the other."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    return x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]


def unfolded(x):
    """A 3x1 convolution as one product of unfolded rows."""
    rows = jnp.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=-1)
    return rows @ jnp.ones((rows.shape[-1], 2))


def inception(x):
    branches = [conv(x, 1), conv(x, 5, padding=((2, 2), (2, 2)))]
    branches.append(conv(conv(x, padding="SAME"), padding="SAME"))
    return jnp.concatenate(branches, axis=-1)


def shuffled(x):
    """ShuffleNet's unit: half of the channels pass, then channels take turns."""
    left, right = jnp.split(conv(x, 1), 2, axis=-1)
    right = conv(right, padding="SAME").sum(-1, keepdims=True)
    return jnp.stack([left, right], axis=-1).reshape(x.shape)


def compiled(x):
    inner = jax.jit(jax.checkpoint(lambda x: jax.nn.relu(conv(x))))
    return jax.lax.optimization_barrier(inner(inner(x)))


def transposed_axes(x):
    return conv(x).transpose(0, 3, 1, 2)[:, :, 1:, 1:].transpose(0, 2, 3, 1)


def moved_pad(x):
    return conv(jnp.concatenate([jnp.zeros_like(x[:, :2]), x], axis=1), 3, 2)


def up_and_down(x):
    """U-Net's pattern: an upsampled path beside one that never left the resolution."""
    low = conv(average(x, 2), 3, padding="SAME")  # 6 pixels, 2 apart
    high = jnp.repeat(jnp.repeat(low, 2, 1), 2, 2)
    return conv(jnp.concatenate([x, high], axis=-1))  # 3 upsampled: 2 of them


FIELDS = {
    "conv": (lambda x: conv(x, 5), 5),
    "stack": (lambda x: average(conv(average(conv(x, 5), 2), 5), 2), 16),
    "strided": (lambda x: conv(conv(x, 7, 2), 3, 2), 11),
    "dilated": (lambda x: conv(conv(x), dilation=2), 7),
    "overlapping pools": (lambda x: average(average(x, 3, 2), 3, 2), 7),
    "slices": (lambda x: conv(by_slices(x)), 6),
    "blocks": (by_blocks, 6),
    "shifted": (shifted, 3),
    "unfolded": (unfolded, 3),
    "inception": (inception, 5),
    "shuffled": (shuffled, 3),
    "residual": (lambda x: x + conv(conv(x, padding="SAME"), padding="SAME"), 5),
    "compiled": (compiled, 5),
    "axes": (transposed_axes, 3),
    "pad": (moved_pad, 3),
    "spread": (lambda x: conv(x, 4, spread=2, padding=((2, 2), (2, 2))), 2),
    "repeated": (lambda x: conv(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), 3), 2),
    "repeated after a stride": (
        lambda x: jnp.repeat(jnp.repeat(conv(x, 3, 2), 2, 1), 2, 2),
        3,
    ),
    "transposed after a stride": (
        lambda x: conv(conv(x, 3, 2), 4, spread=2, padding=((2, 2), (2, 2))),
        5,
    ),
    "down and up, with a skip": (up_and_down, 8),
}


class Function(nn.Module):
    """A function as a module."""

    function: object

    def __call__(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_field_by_hand(name):
    function, expected = FIELDS[name]
    table = summarize(Function(function), (3, 24, 24, 2))
    assert table.receptive_field == table.rows[0].receptive_field == expected


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_field_is_the_support_of_the_gradient(name):
    function, expected = FIELDS[name]
    image = jnp.ones((1, 24, 24, 2))
    middle = jax.eval_shape(function, image).shape[1] // 2

    @jax.jit
    def gradient(position):
        return jax.grad(lambda x: function(x)[0, position, middle].sum())(image)

    def rows_seen(position):
        (rows,) = jnp.nonzero(jnp.abs(gradient(position)).sum((0, 2, 3)))
        return int(rows.max() - rows.min()) + 1

    # Two neighbours: upsampled positions do not all see equally many pixels.
    assert max(rows_seen(middle), rows_seen(middle + 1)) == expected


def gated(x):
    return x * x.mean((1, 2), keepdims=True)


def attended(x):
    tokens = x.reshape(x.shape[0], -1, x.shape[-1])
    return jax.nn.softmax(tokens @ tokens.transpose(0, 2, 1)) @ tokens


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: conv(x, 3).mean((1, 2)), 3),  # pooled as a whole
        (lambda x: average(conv(x, 3), 22), 3),  # by a window of the same size
        (lambda x: conv(x, 3).reshape(x.shape[0], -1) @ jnp.ones((968, 4)), 3),
        (lambda x: attended(conv(x, 4, 4)), 4),  # as patches, then attention
        (lambda x: gated(conv(x)), None),
        (lambda x: conv(x)[:, ::-1] + conv(x), None),  # flipped
        (lambda x: jnp.cumsum(conv(x), 1), None),
        (lambda x: conv(x)[:, jnp.array([*range(22)])], None),  # places as data
        (lambda x: x.sum((1, 2, 3)), None),
        (lambda x: jnp.zeros(3), None),
    ],
)
def test_where_positions_end(function, expected):
    assert summarize(Function(function), (1, 24, 24, 2)).receptive_field == expected


def test_any_number_of_spatial_axes():
    sound = nn.Sequential([nn.Conv(4, (9,), 4), nn.Conv(4, (3,))])
    assert summarize(sound, (1, 64, 1)).receptive_field == 17
    volume = nn.Conv(4, (1, 3, 5))
    assert summarize(volume, (1, 8, 8, 8, 1)).receptive_field == 5
    assert summarize(nn.Dense(3), (1, 8)).receptive_field is None


@pytest.mark.parametrize("norm", [nn.GroupNorm(2), nn.LayerNorm(), nn.InstanceNorm()])
def test_normalization_counts_as_pointwise(norm):
    model = nn.Sequential([nn.Conv(4, (3, 3)), norm, nn.Conv(4, (3, 3))])
    table = summarize(model, (1, 12, 12, 1))
    assert table.receptive_field == 5
    assert [row.receptive_field for row in table.rows] == [3, 3, 5]


def test_bfloat16_passes_through_the_norms():
    class Half(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.LayerNorm(dtype=jnp.bfloat16)(x)
            return jax.lax.dot(x[0, 0], jnp.ones((2, 3), jnp.bfloat16))

    assert summarize(Half(), (1, 4, 4, 2)).params == 4


# Multiply-adds by hand: positions x taps x channels in a group x channels out.
@pytest.mark.parametrize(
    ("module", "shape", "params", "macs", "field"),
    [
        (Conv(8, 3, groups=2), (6, 6, 4), 3 * 3 * 2 * 8 + 8, 36 * 9 * 2 * 8, 3),
        (DepthwiseConv(3, 2, 2), (6, 6, 4), 9 * 8 + 8, 9 * 9 * 8, 3),
        (
            SeparableConv(8, 3, dilation=2),
            (6, 6, 4),
            9 * 4 + 4 * 8 + 8,
            36 * (9 * 4 + 4 * 8),
            5,
        ),
        (ConvTranspose(8, 4, 2, 1), (6, 6, 4), 16 * 4 * 8 + 8, 36 * 16 * 4 * 8, 2),
        (
            ConvTranspose(8, 3, 3, groups=2),
            (5, 4),
            3 * 4 * 8 // 2 + 8,
            5 * 3 * 4 * 8 // 2,
            1,
        ),
        (
            LocallyConnected(8, 3),
            (6, 5, 4),
            4 * 3 * (9 * 4 * 8 + 8),
            4 * 3 * 9 * 4 * 8,
            3,
        ),
        (Conv(2, (1, 2, 3)), (4, 5, 6, 3), 6 * 3 * 2 + 2, 4 * 5 * 6 * 6 * 3 * 2, 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_every_convolution_is_counted(module, shape, params, macs, field):
    table = summarize(module, (2, *shape))
    assert (table.params, table.macs) == (params, macs)
    assert table.receptive_field == field
