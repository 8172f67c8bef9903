"""Convolution arithmetic in plain integers: sizes, parameters, multiply-adds, fields.

Of one layer and of a stack, in any number of dimensions: a size, kernel, stride,
padding or dilation is one number, or one for each axis. Nothing here needs an array or
a device.

References:
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
    https://arxiv.org/abs/1603.07285. Araujo, Norris and Sim, "Computing Receptive
    Fields of Convolutional Neural Networks", Distill 2019,
    https://distill.pub/2019/computing-receptive-fields.
"""

from jaxcnn.arithmetic.compare import Comparison, compare_with_dense
from jaxcnn.arithmetic.counts import (
    conv_macs,
    conv_params,
    dense_macs,
    dense_params,
    steps_per_epoch,
)
from jaxcnn.arithmetic.fields import Window, effective_stride, receptive_field
from jaxcnn.arithmetic.intervals import Intervals
from jaxcnn.arithmetic.layer import (
    Layer,
    branches,
    conv,
    conv_transpose,
    dense,
    global_pool,
    norm,
    pool,
)
from jaxcnn.arithmetic.sizes import (
    Padding,
    Size,
    output_size,
    same_padding,
    transposed_output_size,
)
from jaxcnn.arithmetic.stack import Stack, StackRow, Total, compute_stack

__all__ = [
    "Comparison",
    "Intervals",
    "Layer",
    "Padding",
    "Size",
    "Stack",
    "StackRow",
    "Total",
    "Window",
    "branches",
    "compare_with_dense",
    "compute_stack",
    "conv",
    "conv_macs",
    "conv_params",
    "conv_transpose",
    "dense",
    "dense_macs",
    "dense_params",
    "effective_stride",
    "global_pool",
    "norm",
    "output_size",
    "pool",
    "receptive_field",
    "same_padding",
    "steps_per_epoch",
    "transposed_output_size",
]
