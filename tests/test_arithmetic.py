"""Convolution arithmetic against what JAX makes of real convolutions, and by hand."""

import doctest
import math
import random
from fractions import Fraction

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import arithmetic
from jaxcnn.arithmetic import (
    branches,
    compare_with_dense,
    compute_stack,
    conv,
    conv_transpose,
    dense,
    global_pool,
    norm,
    pool,
)
from jaxcnn.tree import count_params


@pytest.mark.parametrize("part", ["sizes", "counts", "fields", "stack", "compare"])
def test_the_worked_examples(part):
    result = doctest.testmod(
        __import__(f"jaxcnn.arithmetic.{part}", fromlist=["x"]),
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    assert result.attempted >= 2
    assert result.failed == 0


def shape_of(layer, shape):
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), image)
    return y.shape[1:], variables


def sweep(count):
    """Yields random settings of convolutions in one to three dimensions."""
    draw = random.Random(0)
    while count:
        rank = draw.randint(1, 3)
        groups = draw.choice([1, 1, 2, 4])
        case = {
            "shape": (*(draw.randint(5, 14) for _ in range(rank)), 4 * groups),
            "features": 4 * draw.randint(1, 3),
            "kernel": tuple(draw.randint(1, 5) for _ in range(rank)),
            "stride": tuple(draw.randint(1, 3) for _ in range(rank)),
            "padding": [(draw.randint(0, 3), draw.randint(0, 3)) for _ in range(rank)],
            "dilation": tuple(draw.randint(1, 3) for _ in range(rank)),
            "groups": groups,
            "bias": draw.random() < 0.5,
        }
        room = zip(
            case["shape"], case["padding"], case["kernel"], case["dilation"],
            strict=False,
        )  # fmt: skip
        if all(n + sum(pads) > d * (f - 1) for n, pads, f, d in room):
            count -= 1
            yield case


@pytest.mark.parametrize("case", list(sweep(40)), ids=lambda c: f"{len(c['kernel'])}d")
def test_a_convolution_is_what_flax_makes(case):
    shape, stride, dilation = case["shape"], case["stride"], case["dilation"]
    layer = nn.Conv(
        case["features"],
        case["kernel"],
        strides=stride,
        padding=case["padding"],
        kernel_dilation=dilation,
        feature_group_count=case["groups"],
        use_bias=case["bias"],
    )
    out, variables = shape_of(layer, shape)
    stack = compute_stack(
        shape,
        [
            conv(
                case["features"],
                case["kernel"],
                stride,
                case["padding"],
                dilation,
                groups=case["groups"],
                bias=case["bias"],
            )
        ],
    )
    assert stack.shape == out
    assert stack.params == count_params(variables["params"])
    weights = math.prod(variables["params"]["kernel"].shape)
    assert stack.macs == weights * math.prod(out[:-1])
    assert arithmetic.output_size(
        shape[:-1], case["kernel"], stride, case["padding"], dilation
    ) == tuple(out[:-1])
    along = [
        arithmetic.output_size(n, f, s, [pads], d)[0]
        for n, f, s, pads, d in zip(
            shape[:-1], case["kernel"], stride, case["padding"], dilation, strict=True
        )
    ]
    assert along == list(out[:-1])


@pytest.mark.parametrize("size", [7, 8, 11, 12])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_tensorflow_padding_is_what_xla_calls_same(size, kernel, stride, dilation):
    out = arithmetic.output_size(size, kernel, stride, "tensorflow", dilation)
    assert out == -(-size // stride)
    span = dilation * (kernel - 1) + 1
    (pads,) = jax.lax.padtype_to_pads((size,), (span,), (stride,), "SAME")
    explicit = arithmetic.output_size(size, kernel, stride, [pads], dilation)
    assert explicit == (out,)


def test_words_for_padding():
    assert arithmetic.output_size((9, 8), (3, 5), 2, "same") == (5, 4)
    assert arithmetic.output_size(9, 3, 1, "valid") == 7
    assert arithmetic.transposed_output_size(4, 3, 2, "same") == 7


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "windows"),
    [
        (112, 3, 2, 0, 56),  # GoogLeNet: 55.5, rounded up
        (6, 2, 2, 0, 3),
        (7, 2, 2, 0, 4),
        (5, 2, 3, 1, 2),  # the third would begin in the padding
    ],
)
def test_ceil_mode_counts_the_last_window(size, kernel, stride, padding, windows):
    """Compared with torch.nn.functional.max_pool1d(ceil_mode=True)."""
    arguments = (size, kernel, stride, padding)
    assert arithmetic.output_size(*arguments, ceil_mode=True) == windows


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize(
    ("stride", "output_padding"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 2)]
)
@pytest.mark.parametrize(("padding", "dilation"), [(0, 1), (1, 1), (1, 2)])
def test_transposed_output_size_inverts_output_size(
    kernel, stride, padding, dilation, output_padding
):
    large = arithmetic.transposed_output_size(
        5, kernel, stride, padding, dilation, output_padding
    )
    assert arithmetic.output_size(large, kernel, stride, padding, dilation) == 5


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (5, 2), (2, 2)])
def test_same_padding_keeps_the_size(kernel, dilation):
    padding = arithmetic.same_padding(kernel, dilation)
    assert arithmetic.output_size(17, kernel, 1, padding, dilation) == 17


def test_groups_divide_the_multiply_adds():
    whole = arithmetic.conv_macs(8, 16, (3, 3), (5, 7))
    assert whole == 8 * 16 * 9 * 35
    assert arithmetic.conv_macs(8, 16, 3, (5, 7), groups=8) * 8 == whole
    depthwise = compute_stack((5, 7, 8), [conv(8, 3, padding=1, groups=0)])
    assert depthwise.macs == 8 * 9 * 35


def test_one_number_stands_for_every_axis():
    assert arithmetic.conv_params(4, 8, 3, axes=3) == 4 * 8 * 27 + 8
    assert arithmetic.conv_macs(4, 8, 3, 5, axes=2) == 4 * 8 * 9 * 25
    assert arithmetic.conv_macs(4, 8, (3,), 5) == 4 * 8 * 3 * 5


def test_dense_without_bias():
    assert arithmetic.dense_params(4096, 1000, bias=False) == 4_096_000


RESNET18 = [(7, 2, 1), (3, 2, 1)] + [(3, 1, 1)] * 4 + [(3, 2, 1), *[(3, 1, 1)] * 3] * 3


@pytest.mark.parametrize(
    ("layers", "field", "stride"),
    [
        ([], 1, 1),
        ([(3, 1, 1), (3, 1, 2), (3, 1, 4)], 15, 1),  # 1 + 2 + 4 + 8
        ([(2, 2, 1), (3, 1, 2)], 10, 2),  # 2, then 4 steps of 2 pixels
        (RESNET18, 435, 32),  # 7, 11, 43, 99, 211, 435
        ([((3, 1), 1, 1), (3, (2, 1), 1), (3, 1, (1, 2))], (9, 7), (2, 1)),
    ],
)
def test_windows(layers, field, stride):
    assert arithmetic.receptive_field(layers) == field
    assert arithmetic.effective_stride(layers) == stride
    stack = compute_stack((640, 640, 1), [conv(1, *w[:2], 0, w[2]) for w in layers])
    if stack.rows:
        each = (field, field) if isinstance(field, int) else field
        assert stack.rows[-1].receptive_field == each
        each = (stride, stride) if isinstance(stride, int) else stride
        assert stack.rows[-1].stride == each


# What one output sees is also where its gradient is not zero. Weights are all one.


def by_jax(layer, x):
    if layer.kind == "branches":
        ends = [run_by_jax(stack, x) for stack in layer.stacks]
        return jnp.concatenate(ends, axis=-1)
    if layer.kind == "pooling":
        pads = [(layer.padding, layer.padding)]
        return nn.avg_pool(x, (layer.kernel,), (layer.stride,), pads)
    kernel = jnp.ones((layer.kernel, x.shape[-1], layer.features))
    window, spread, pads = layer.stride, 1, (layer.padding,) * 2
    if layer.kind == "transposed convolution":
        reach = layer.dilation * (layer.kernel - 1) - layer.padding
        window, spread, pads = 1, layer.stride, (reach, reach)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (window,),
        [pads],
        lhs_dilation=(spread,),
        rhs_dilation=(layer.dilation,),
        dimension_numbers=("NLC", "LIO", "NLC"),
    )


def run_by_jax(layers, x):
    for layer in layers:
        x = by_jax(layer, x)
    return x


STACKS = {
    "lenet": ([conv(2, 5), pool(2), conv(2, 5), pool(2)], 16, 4),
    "dilated": ([conv(2, 3, 2), conv(2, 3, padding=2, dilation=2)], 11, 2),
    "overlapping": ([pool(3, 2, 1), pool(3, 2, 1), conv(1, 3)], 15, 4),
    "inception": (
        [
            conv(2, 3, 2),
            branches(
                [conv(1, 1)],
                [conv(1, 1), conv(2, 5, padding=2)],
                [conv(1, 3, padding=1), conv(1, 3, padding=1)],
                [pool(3, 1, 1), conv(1, 1)],
            ),
        ],
        11,
        2,
    ),
    "transposed": ([conv_transpose(2, 4, 2, 1)], 2, Fraction(1, 2)),
    "down and up": ([conv(2, 3, 2), conv(2, 3), conv_transpose(2, 4, 2, 1)], 9, 1),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", STACKS)
def test_receptive_field_is_the_support_of_the_gradient(name):
    layers, field, stride = STACKS[name]
    stack = compute_stack((60, 1), layers)
    image = jnp.ones((1, 60, 1))
    out = run_by_jax(layers, image)
    assert stack.shape == out.shape[1:]
    assert stack.rows[-1].receptive_field == (field,)
    assert stack.rows[-1].stride == (stride,)
    rows = np.asarray(jax.jacobian(lambda x: run_by_jax(layers, x).sum((0, 2)))(image))
    rows = rows[:, 0, :, 0]
    middle = len(rows) // 2  # two neighbours: upsampled ones do not see equally much
    sizes = [np.ptp(np.nonzero(row)[0]) + 1 for row in rows[middle : middle + 2]]
    assert max(sizes) == field


def test_every_kind_of_layer_in_three_dimensions():
    stack = compute_stack(
        (16, 32, 32, 3),
        [
            conv(8, (1, 3, 3), padding="same", bias=False, name="first"),
            norm(),
            pool((1, 2, 2)),
            conv(8, 3, 2, padding=1),
            global_pool(),
            dense(5),
        ],
    )
    rows = {row.name: row for row in stack.rows}
    assert rows["first"].shape == (16, 32, 32, 8)
    assert rows["first"].params == 3 * 8 * 9
    assert rows["norm 1"].params == 16
    assert rows["pooling 1"].receptive_field == (1, 4, 4)
    assert rows["convolution 2"].shape == (8, 8, 8, 8)
    assert rows["convolution 2"].receptive_field == (3, 8, 8)
    assert rows["convolution 2"].stride == (2, 4, 4)
    assert rows["global pooling 1"].receptive_field is None
    assert rows["dense 1"].macs == 40
    assert stack.params == sum(row.params for row in stack.rows)
    assert "3x8x8" in str(stack)


def test_what_follows_a_global_pool_sees_everything():
    rows = compute_stack((8, 8, 3), [global_pool(), norm(), dense(2)]).rows
    assert [row.receptive_field for row in rows] == [None] * 3
    assert [row.stride for row in rows] == [None] * 3


def test_branches_have_rows_and_sum():
    block = branches([conv(2, 1)], [conv(2, 1), conv(4, 3, padding=1)], name="mixed")
    stack = compute_stack((8, 8, 3), [block])
    assert [row.name for row in stack.rows] == [
        "mixed/1/convolution 1",
        "mixed/2/convolution 1",
        "mixed/2/convolution 2",
        "mixed",
    ]
    assert stack.shape == (8, 8, 6)
    assert stack.params == 8 + 8 + (9 * 2 * 4 + 4)
    assert stack.rows[-1].receptive_field == (3, 3)
    assert sum(total.params_share for total in stack.totals.values()) == 1


def test_an_empty_stack():
    stack = compute_stack((8, 8, 3), [])
    assert (stack.shape, stack.params, stack.macs) == ((8, 8, 3), 0, 0)
    assert stack.totals == {}


def test_a_convolution_as_wide_as_the_image_is_the_dense_layer():
    both = compare_with_dense((5, 6, 3), conv(7, (5, 6)))
    assert (both.params, both.connections, both.macs) == (
        both.dense_params,
        both.dense_connections,
        both.dense_macs,
    )
    without = compare_with_dense((5, 6, 3), conv(7, 3, bias=False))
    assert without.connections == without.macs
    assert without.dense_params == without.dense_macs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arithmetic.output_size(0, 3), "size must be at least 1, got 0"),
        (lambda: arithmetic.output_size(6.5, 3), "size must be a whole number.*6.5"),
        (lambda: arithmetic.output_size(6, 3, 0), "stride must be at least 1, got 0"),
        (
            lambda: arithmetic.output_size(6, 3, padding=-1),
            "padding must not be negative, got -1",
        ),
        (
            lambda: arithmetic.output_size(6, 3, padding="full"),
            "one of same, valid, tensorflow, got 'full'",
        ),
        (
            lambda: arithmetic.output_size((6, 6), 3, padding=[(1, 1), (1, 1, 1)]),
            r"padding of an axis is \(low, high\), got \(1, 1, 1\)",
        ),
        (
            lambda: arithmetic.output_size((6, 6), (3, 3, 3)),
            "different numbers of axes: size of 2 and kernel of 3",
        ),
        (
            lambda: arithmetic.output_size(4, 3, dilation=2),
            r"spans 5 does not fit an input of 4 with padding 0",
        ),
        (
            lambda: arithmetic.output_size((4, 4), 6, padding=[(0, 1), (1, 1)]),
            r"padding 0 and 1: it needs size \+ low \+ high >= 6",
        ),
        (lambda: arithmetic.output_size(6, 4, padding="same"), "kernel 4 with dilat"),
        (lambda: arithmetic.same_padding(4), "kernel 4 with dilation 1, which spans 4"),
        (
            lambda: arithmetic.transposed_output_size(1, 2, padding=1),
            "padding of 1 leaves nothing",
        ),
        (
            lambda: arithmetic.transposed_output_size(4, 2, padding="tensorflow"),
            "depends on the size that is to come out",
        ),
        (
            lambda: arithmetic.transposed_output_size(4, 2, output_padding=-1),
            "output_padding must not be negative",
        ),
        (
            lambda: arithmetic.conv_params(6, 8, (3, 3), groups=4),
            "4 groups must divide both the 6 input channels and the 8 output",
        ),
        (lambda: arithmetic.conv_params(6, 8, 3), "kernel=3 do not tell the number"),
        (lambda: arithmetic.conv_params(6, 8, (3, 0)), "kernel must be at least 1"),
        (lambda: arithmetic.conv_macs(6, 8, 3, 9), "kernel=3 and positions=9 do not"),
        (
            lambda: arithmetic.conv_macs(6, 8, 3, (9, 9), axes=3),
            "axes of 3 and positions of 2",
        ),
        (
            lambda: arithmetic.receptive_field([(3, 1, 0)]),
            "dilation must be at least 1, got 0",
        ),
        (
            lambda: arithmetic.receptive_field([((3, 3), 1, 1), ((3,), 1, 1)]),
            "kernel of layer 1 of 2 and kernel of layer 2 of 1",
        ),
        (lambda: arithmetic.steps_per_epoch(10, 20), "10 examples fill no batch of 20"),
        (lambda: arithmetic.steps_per_epoch(10, 0), "batch_size must be at least 1"),
        (lambda: conv(0, 3), "features must be at least 1, got 0"),
        (lambda: conv(4, (3, 3), (1, 1, 1)), "kernel of 2 and stride of 3"),
        (lambda: branches([conv(4, 3)]), "two stacks or more, got 1"),
        (lambda: compute_stack((), [conv(4, 3)]), r"\(\*spatial, channels\), got \(\)"),
        (lambda: compute_stack((8, 0), [conv(4, 3)]), "image_shape must be at least 1"),
        (lambda: compute_stack((8, 8, 1), ["conv"]), r"layers such as conv\(...\)"),
        (
            lambda: compute_stack((4, 4, 1), [conv(4, 3), conv(4, 3, name="b")]),
            "Layer 'b': A kernel that spans 3 does not fit an input of 2",
        ),
        (
            lambda: compute_stack((4, 4, 1), [conv(4, (3, 3, 3))]),
            "Layer 'convolution 1': .*axes of 2 and kernel of 3",
        ),
        (
            lambda: compute_stack((4, 4, 1), [dense(4), pool(2)]),
            r"Layer 'pooling 1': a pooling needs spatial axes, got \(4,\)",
        ),
        (
            lambda: compute_stack((8, 8, 1), [branches([conv(4, 3)], [conv(4, 1)])]),
            "Layer 'branches 1': its branches end in different sizes: 6x6x4, 8x8x4",
        ),
        (
            lambda: compute_stack((8, 8, 1), [branches([conv(4, 9)], [conv(4, 1)])]),
            "^Layer 'convolution 1': A kernel that spans 9",
        ),
        (lambda: compare_with_dense((8, 8, 1), pool(2)), "takes conv.*got Layer"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
