"""Array to array: the lowerings that are fast on the platform at hand."""

from jaxcnn.ops.adaptive import adaptive_avg_pool, adaptive_max_pool
from jaxcnn.ops.convolution import conv, pad
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
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "channel_shuffle",
    "conv",
    "conv_transpose",
    "global_average_pool",
    "global_max_pool",
    "max_pool",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "sum_pool",
]
