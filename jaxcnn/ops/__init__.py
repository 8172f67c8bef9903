"""Array to array: the lowerings that are fast on the platform at hand."""

from jaxcnn.ops.pooling import avg_pool, global_average_pool, max_pool

__all__ = ["avg_pool", "global_average_pool", "max_pool"]
