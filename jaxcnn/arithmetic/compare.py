"""A convolution beside the fully connected layer that it replaces."""

import dataclasses
import math
from collections.abc import Sequence

from jaxcnn.arithmetic.layer import Layer
from jaxcnn.arithmetic.stack import compute_stack


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare_with_dense` returns; `dense_*` is the fully connected layer's.

    A fully connected layer shares nothing: it has a weight for each connection.

    Attributes:
        input_shape: `(*spatial, channels)`.
        output_shape: The same of the output, of both layers.
        params: Weights and biases.
        connections: Pairs of an output and what it reads, its bias included, taps on
            the padding too.
        macs: Multiply-adds on one image; biases count nothing.
        dense_params: Weights and biases of the fully connected layer.
        dense_connections: As many.
        dense_macs: Its multiply-adds.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    params: int
    connections: int
    macs: int
    dense_params: int
    dense_connections: int
    dense_macs: int


def compare_with_dense(image_shape: Sequence[int], layer: Layer) -> Comparison:
    """Returns the counts of a convolution and of the dense layer of the same shapes.

    Args:
        image_shape: `(*spatial, channels)` of the input.
        layer: A convolution: `conv(...)`.

    Raises:
        ValueError: if the layer is none, or does not fit the input.

    Example:
        The first layer of LeNet-5 on a 32x32 image: 156 trainable parameters and
        122,304 connections (LeCun et al., "Gradient-based learning applied to document
        recognition", 1998, section II.B, layer C1).

        >>> from jaxcnn.arithmetic import conv
        >>> both = compare_with_dense((32, 32, 1), conv(6, 5))
        >>> both.params, both.connections, both.macs
        (156, 122304, 117600)
        >>> both.dense_params, both.dense_macs
        (4821600, 4816896)
    """
    if not isinstance(layer, Layer) or layer.kind != "convolution":
        raise ValueError(f"compare_with_dense takes conv(...), got {layer!r}.")
    stack = compute_stack(image_shape, [layer])
    inputs, outputs = math.prod(image_shape), math.prod(stack.shape)
    biases = outputs if layer.bias else 0
    return Comparison(
        input_shape=tuple(image_shape),
        output_shape=stack.shape,
        params=stack.params,
        connections=stack.macs + biases,
        macs=stack.macs,
        dense_params=inputs * outputs + biases,
        dense_connections=inputs * outputs + biases,
        dense_macs=inputs * outputs,
    )
