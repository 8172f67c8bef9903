"""Array to array: the lowerings that are fast on the platform at hand."""

from jaxcnn.ops.adaptive import adaptive_avg_pool, adaptive_max_pool
from jaxcnn.ops.convolution import conv, pad
from jaxcnn.ops.pooling import avg_pool, global_average_pool, max_pool
from jaxcnn.ops.shuffle import channel_shuffle

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "channel_shuffle",
    "conv",
    "global_average_pool",
    "max_pool",
    "pad",
]
