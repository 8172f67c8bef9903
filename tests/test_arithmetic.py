import doctest

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxcnn import arithmetic
from jaxcnn.tree import count_params


def test_the_worked_examples():
    result = doctest.testmod(arithmetic)
    assert result.attempted > 10
    assert result.failed == 0


def shape_of(layer, size, channels=1):
    image = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    return jax.eval_shape(layer.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize("size", [11, 12])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (3, 2, 2)])
def test_output_size_is_what_flax_gives(size, kernel, stride, padding, dilation):
    layer = nn.Conv(
        1,
        (kernel, kernel),
        strides=stride,
        padding=padding,
        kernel_dilation=dilation,
    )
    out, _ = shape_of(layer, size)
    assert out.shape[1] == arithmetic.output_size(
        size, kernel, stride, padding, dilation
    )


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


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_conv_params_are_what_flax_holds(groups, bias):
    layer = nn.Conv(8, (3, 2), feature_group_count=groups, use_bias=bias)
    _, variables = shape_of(layer, 7, channels=4)
    expected = arithmetic.conv_params(4, 8, (3, 2), groups=groups, bias=bias)
    assert count_params(variables["params"]) == expected


def test_groups_divide_the_multiply_adds():
    whole = arithmetic.conv_macs(8, 16, (3, 3), (5, 7))
    assert whole == 8 * 16 * 9 * 35
    assert arithmetic.conv_macs(8, 16, (3, 3), (5, 7), groups=8) * 8 == whole


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
    ],
)
def test_stacks(layers, field, stride):
    assert arithmetic.receptive_field(layers) == field
    assert arithmetic.effective_stride(layers) == stride


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arithmetic.output_size(0, 3), "size must be at least 1, got 0"),
        (lambda: arithmetic.output_size(6, 3, 0), "stride must be at least 1, got 0"),
        (
            lambda: arithmetic.output_size(6, 3, padding=-1),
            "padding must not be negative, got -1",
        ),
        (
            lambda: arithmetic.output_size(4, 3, dilation=2),
            r"spans 5 does not fit an input of 4 with padding 0",
        ),
        (lambda: arithmetic.same_padding(4), "kernel 4 with dilation 1, which spans 4"),
        (
            lambda: arithmetic.transposed_output_size(1, 2, padding=1),
            "padding of 1 leaves nothing",
        ),
        (
            lambda: arithmetic.conv_params(6, 8, (3, 3), groups=4),
            "4 groups must divide both the 6 input channels and the 8 output",
        ),
        (
            lambda: arithmetic.receptive_field([(3, 1, 0)]),
            "dilation must be at least 1, got 0",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
