import doctest
import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxcnn.arithmetic import output_size
from jaxcnn.layers import (
    Conv,
    ConvNorm,
    ConvTranspose,
    DepthwiseConv,
    DropPath,
    LocallyConnected,
    SeparableConv,
    SqueezeExcite,
)
from jaxcnn.models import summary
from jaxcnn.models.summary import summarize
from jaxcnn.ops import avg_pool, channel_shuffle, max_pool
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
        (lambda x: conv(conv(x)[:, ::-1]), 5),  # flipped, and nothing besides
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


# The library's own layers: every padding mode, pools, shuffles, gates, whole blocks.


def rows_seen(function, size=32):
    """Returns how many rows of an image the middle outputs' gradients reach."""
    image = jnp.ones((1, size, size, 4))
    middle = jax.eval_shape(function, image).shape[1] // 2

    @jax.jit
    def gradient(position):
        return jax.grad(lambda x: function(x)[0, position, middle].sum())(image)

    (rows,) = jnp.nonzero(jnp.abs(gradient(middle)).sum((0, 2, 3)))
    return int(rows.max() - rows.min()) + 1


def positive(model):
    """Returns the model as a function, with weights that let every path through."""

    def function(x):
        shapes = jax.eval_shape(model.init, jax.random.key(0), x)
        variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
        return model.apply(variables, x)

    return function


class Twofold(nn.Module):
    """A convolution, then a function, then a convolution."""

    function: object = None
    first: object = None
    second: object = None

    @nn.compact
    def __call__(self, x):
        x = Conv(4, **(self.first or {}), name="first")(x)
        x = self.function(x) if self.function else x
        return Conv(4, **(self.second or {}), name="second")(x)


def joined(x):
    """DenseNet's pattern: everything so far beside what is new."""
    return jnp.concatenate([x, max_pool(x, 3, 1, 1)], axis=-1)


LAYERS = {
    "zeros": (Twofold(second={"stride": 2}), 5),
    "reflect": (Twofold(second={"padding_mode": "reflect"}), 5),
    "replicate": (Twofold(second={"padding_mode": "replicate"}), 5),
    "circular": (Twofold(second={"padding_mode": "circular"}), 5),
    "tensorflow": (Twofold(first={"padding": "tensorflow", "stride": 2}), 7),
    "dilated and grouped": (Twofold(second={"dilation": 3, "groups": 2}), 9),
    "depthwise": (Twofold(first={"groups": 4, "kernel_size": 5}), 7),
    "max pool": (Twofold(lambda x: max_pool(x, 2)), 8),
    "overlapping max pool": (Twofold(lambda x: max_pool(x, 3, 2, 1)), 9),
    "ceil mode": (Twofold(lambda x: max_pool(x, 3, 2, ceil_mode=True)), 9),
    "average pool": (Twofold(lambda x: avg_pool(x, 3, 1, 1)), 7),
    "average without padding": (
        Twofold(lambda x: avg_pool(x, 3, 1, 1, count_include_pad=False)),
        7,
    ),
    "shuffled": (Twofold(lambda x: channel_shuffle(x, 2)), 5),
    "concatenated": (Twofold(joined), 7),
    "subsampled": (Twofold(lambda x: x[:, ::2, ::2]), 7),
}


@pytest.mark.parametrize("name", LAYERS)
def test_receptive_field_through_the_layers(name):
    model, expected = LAYERS[name]
    table = summarize(model, (1, 32, 32, 4))
    assert table.receptive_field == expected
    assert table.rows[-1].receptive_field == expected


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["zeros", "tensorflow", "dilated and grouped", "shuffled", "average pool"]
)
def test_what_the_layers_see_is_the_support_of_the_gradient(name):
    model, expected = LAYERS[name]
    assert rows_seen(positive(model)) == expected


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_a_border_that_sees_far_does_not_widen_the_field_of_the_middle(mode):
    model = Conv(4, padding_mode=mode)
    assert rows_seen(positive(model)) == 3
    assert summarize(model, (1, 32, 32, 4)).receptive_field == 3


def test_a_gate_sees_the_whole_image():
    model = Twofold(SqueezeExcite(2))
    table = summarize(model, (1, 32, 32, 4))
    assert table.receptive_field is None
    fields = {row.path: row.receptive_field for row in table.rows}
    assert fields["first"] == 3
    assert fields["second"] is None


def test_training_mode_of_drop_path_sees_as_much():
    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return x + DropPath(0.5)(Conv(4)(x), train=train)

    for train in (False, True):
        table = summarize(Dropped(), (1, 16, 16, 4), train=train)
        assert table.receptive_field == 3


@pytest.mark.parametrize(
    ("model", "shape", "kernel", "stride"),
    [
        (Conv(4, 3, 2), (1, 8, 8, 3), (3, 3), (2, 2)),
        (Conv(4, (3, 5), (1, 2)), (1, 8, 8, 3), (3, 5), (1, 2)),
        (Conv(4, 9), (1, 32, 3), (9,), (1,)),
        (Conv(4, 3, (1, 2, 2)), (1, 8, 8, 8, 3), (3, 3, 3), (1, 2, 2)),
        (nn.Conv(4, (3, 3), 2), (1, 8, 8, 3), (3, 3), (2, 2)),
        (nn.Conv(4, 3), (1, 8, 3), (3,), (1,)),
        (ConvNorm(4, 3, 2), (1, 8, 8, 3), (3, 3), (2, 2)),
    ],
)
def test_kernel_and_stride_have_one_number_for_each_axis(model, shape, kernel, stride):
    options = {"train": False} if isinstance(model, ConvNorm) else {}
    depth = 1 if isinstance(model, ConvNorm) else None
    row = summarize(model, shape, depth=depth, **options).rows[0]
    assert (row.kernel, row.stride) == (kernel, stride)


# XLA counts its own floating-point operations, two for a multiply-add.


def flops(model, shape):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.jit(model.apply).lower(variables, image).cost_analysis()["flops"]


def taps_inside(size, kernel, stride, padding, dilation):
    """Returns how many taps along an axis read the image, over all positions."""
    positions = output_size(size, kernel, stride, padding, dilation)
    return sum(
        0 <= position * stride + tap * dilation - padding < size
        for position in range(positions)
        for tap in range(kernel)
    )


@pytest.mark.thorough
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 4])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 0, 1, 4), (3, 0, 2, 8), (1, 1, 1, 1), (2, 3, 2, 2)],
)
def test_a_convolution_costs_what_xla_counts(
    rank, kernel, stride, padding, dilation, groups, monkeypatch
):
    # What replaces XLA's convolution on CPUs counts otherwise.
    monkeypatch.setattr("jaxcnn.ops.convolution.CPU_LOWERINGS", ())
    sizes = (11, 8, 9)[:rank]
    shape, window = (2, *sizes, 8), (kernel, stride, padding, dilation)
    model = Conv(16, *window[:3], groups=groups, dilation=dilation, use_bias=False)
    counted = 2 * 2 * summarize(model, shape).macs  # two images
    if padding:  # XLA leaves out the taps on the padding, which nobody else does
        ours = math.prod(kernel * output_size(n, *window) for n in sizes)
        theirs = math.prod(taps_inside(n, *window) for n in sizes)
        assert theirs < ours
        assert flops(model, shape) == counted * theirs / ours
    else:
        assert flops(model, shape) == counted


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Dense(7, use_bias=False), (3, 15)),
        (nn.Dense(7, use_bias=False), (3, 4, 5)),
        (nn.DenseGeneral((2, 3), use_bias=False), (3, 5)),
        (nn.Conv(6, (3, 3), feature_group_count=2, padding=0, use_bias=False), None),
        (nn.ConvTranspose(6, (3, 3), (2, 2), padding="VALID", use_bias=False), None),
        (nn.ConvLocal(6, (3, 3), padding="VALID", use_bias=False), None),
    ],
)
def test_other_layers_cost_what_xla_counts(model, shape):
    shape = shape or (2, 7, 6, 4)
    counted = 2 * shape[0] * summarize(model, shape).macs
    cost = flops(model, shape)
    if isinstance(model, nn.ConvLocal):  # XLA also counts the patches that it cuts out
        assert cost >= counted
    else:
        assert cost == counted


def inside(row):
    """Returns the share of a layer's taps that lies inside the image, of odd kernels.

    The padding is "same", so that the output times the stride is the input.
    """
    share = 1
    for out, kernel, stride in zip(
        row.output_shape[1:-1], row.kernel or (), row.stride or (), strict=False
    ):
        taps = taps_inside(out * stride, kernel, stride, kernel // 2, 1)
        share *= taps / (kernel * out)
    return share


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lenet", "resnet18", "resnet50"])
def test_a_network_costs_little_more_than_its_multiply_adds(name, monkeypatch):
    # What a CPU computes otherwise costs more, in faster arithmetic.
    monkeypatch.setattr("jaxcnn.ops.convolution.CPU_LOWERINGS", ())
    image = (28, 28, 1) if name == "lenet" else (224, 224, 3)
    model = create_model(name)
    table = summarize(model, (1, *image))
    padded = name != "lenet"
    macs = sum(row.macs * (inside(row) if padded else 1) for row in table.rows)
    # On top come biases, norms, activations, additions and pools.
    beyond = flops(model, (1, *image)) - 2 * macs
    outputs = sum(math.prod(row.output_shape) for row in table.rows)
    assert outputs <= beyond < 4 * outputs


# Memory, and what each kind of layer takes.


def test_memory_is_what_the_layers_put_out():
    table = summarize(LeNet(), (5, 28, 28, 1))
    sizes = [24 * 24 * 10, 8 * 8 * 20, 10]
    assert [row.memory for row in table.rows] == [4 * 5 * size for size in sizes]
    assert table.memory == 4 * 5 * sum(sizes)
    assert f"activations      {table.memory:,} bytes" in str(table)


def test_memory_by_dtype_and_by_depth():
    whole = summarize(Nested(), (2, 16, 16, 3), train=False)
    top = summarize(Nested(), (2, 16, 16, 3), depth=1, train=False)
    assert top.memory == whole.memory == sum(row.memory for row in top.rows)
    assert top.rows[0].memory == 3 * (2 * 8 * 8 * 4) * 4  # two convolutions, a norm
    half = nn.Conv(4, (3, 3), dtype=jnp.bfloat16)
    assert summarize(half, (1, 8, 8, 3)).memory == 8 * 8 * 4 * 2


def test_totals_by_kind():
    table = summarize(Nested(), (1, 16, 16, 3), train=False)
    totals = table.totals
    assert {kind: total.layers for kind, total in totals.items()} == {
        "convolution": 4,
        "dense": 1,
        "norm": 2,
        "other": 3,  # the blocks, for their scales, and the dropout
    }
    assert totals["norm"].params == 16
    assert totals["other"].params == 2
    assert totals["dense"].macs == 12
    for field in ("params", "macs", "memory"):
        total = sum(getattr(each, field) for each in totals.values())
        assert total == getattr(table, field)
    read = json.loads(json.dumps(table.to_json()))
    assert read["totals"]["norm"]["params"] == 16
    lines = str(table).splitlines()
    assert lines[-1].split()[:2] == ["other", "3"]


def test_a_repeated_module_counts_once():
    class Step(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return Conv(4, name="conv")(x), None

    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            return nn.scan(Step, length=3, **axes)(name="steps")(x, None)[0]

    table = summarize(Loop(), (1, 8, 8, 4))
    assert table.params == 3 * (9 * 16 + 4)
    assert table.macs == 64 * 9 * 16
    assert table.rows[0].calls == 1
