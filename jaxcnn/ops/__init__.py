"""Array to array: the lowerings that are fast on the platform at hand."""

from jaxcnn.ops.adaptive import adaptive_avg_pool, adaptive_max_pool
from jaxcnn.ops.convolution import conv, conv_general_dilated, pad
from jaxcnn.ops.filters import FILTERS, filter_image
from jaxcnn.ops.local_response import local_response_norm
from jaxcnn.ops.pooling import (
    avg_pool,
    global_average_pool,
    global_max_pool,
    max_pool,
    sum_pool,
)
from jaxcnn.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from jaxcnn.ops.transposed import conv_transpose

__all__ = [
    "FILTERS",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "channel_shuffle",
    "conv",
    "conv_general_dilated",
    "conv_transpose",
    "filter_image",
    "global_average_pool",
    "global_max_pool",
    "local_response_norm",
    "max_pool",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "sum_pool",
]
