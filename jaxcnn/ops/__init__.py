"""Array to array: the lowerings that are fast on the platform at hand."""

from jaxcnn.ops.convolution import conv, pad
from jaxcnn.ops.filters import FILTERS, filter_image
from jaxcnn.ops.local_response import local_response_norm
from jaxcnn.ops.pooling import avg_pool, global_average_pool, max_pool
from jaxcnn.ops.shuffle import channel_shuffle

__all__ = [
    "FILTERS",
    "avg_pool",
    "channel_shuffle",
    "conv",
    "filter_image",
    "global_average_pool",
    "local_response_norm",
    "max_pool",
    "pad",
]
