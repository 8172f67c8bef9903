"""Which examples a network takes for alike."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.typing import Array

#: How far apart two features are.
METRICS = ("cosine", "euclidean")


class Neighbours(NamedTuple):
    """The nearest examples, the nearest first.

    Attributes:
        indices: Their numbers, `[queries, count]` int32.
        distances: How far away they are, `[queries, count]` float32.
    """

    indices: Array
    distances: Array


def nearest_neighbours(
    queries: ArrayLike,
    features: ArrayLike,
    count: int = 5,
    *,
    metric: str = "cosine",
    leave_out: ArrayLike | None = None,
) -> Neighbours:
    """Returns for each query the examples whose features are nearest, all compared.

    Pure, and may be compiled with `count` and `metric` fixed. It makes one array
    `[queries, n]`: give queries in parts where that is too large.

    Args:
        queries: Features, `[queries, ...]`; what follows the first axis is flattened.
        features: Features of the examples to choose from, `[n, ...]`.
        count: How many for each query.
        metric: `"cosine"`: 1 minus the cosine of the angle between them, which leaves
            out how strong they are; of nothing but zeros it is 1. `"euclidean"`: the
            length of their difference.
        leave_out: For each query an example that does not count, such as itself,
            `[queries]` integers.

    Raises:
        ValueError: if the widths differ, there are fewer examples than `count`, or the
            metric is unknown.

    Example:
        >>> points = jnp.array([[0.0, 1.0], [0.0, 3.0], [5.0, 0.0]])
        >>> found = nearest_neighbours(points[:1], points, 2, metric="euclidean")
        >>> found.indices.tolist(), found.distances.tolist()
        ([[0, 1]], [[0.0, 2.0]])
    """
    check_choice("metric", metric, METRICS)
    queries, features = _rows(queries), _rows(features)
    if queries.shape[1] != features.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} numbers each and features "
            f"{features.shape[1]}: they must come from the same layer."
        )
    check_number("count", count, 1)
    available = len(features) - (leave_out is not None)
    if count > available:
        raise ValueError(f"count={count}, but there are {available} examples only.")
    distances = _cosine if metric == "cosine" else _squared
    apart = distances(queries, features)
    if leave_out is not None:
        rows = jnp.arange(len(queries))
        apart = apart.at[rows, jnp.asarray(leave_out)].set(jnp.inf)
    nearest, indices = jax.lax.top_k(-apart, count)
    if metric == "euclidean":
        # Of the few that are left, from the differences themselves: exact where near.
        between = queries[:, None] - features[indices]
        return Neighbours(indices, jnp.sqrt(jnp.square(between).sum(axis=-1)))
    return Neighbours(indices, -nearest)


def _rows(values: ArrayLike) -> Array:
    values = jnp.asarray(values, jnp.float32)
    return values.reshape(len(values), -1)


def _cosine(queries: Array, features: Array) -> Array:
    def unit(x: Array) -> Array:
        length = jnp.sqrt(jnp.square(x).sum(axis=1, keepdims=True))
        return x / jnp.where(length > 0, length, 1)

    return 1 - _products(unit(queries), unit(features))


def _squared(queries: Array, features: Array) -> Array:
    # Around their mean the squares are smallest, and so is what rounding leaves.
    mean = features.mean(axis=0, keepdims=True)
    queries, features = queries - mean, features - mean
    squares = jnp.square(queries).sum(axis=1)[:, None]
    squares = squares + jnp.square(features).sum(axis=1)[None]
    return squares - 2 * _products(queries, features)


def _products(queries: Array, features: Array) -> Array:
    return jnp.matmul(queries, features.T, precision=jax.lax.Precision.HIGHEST)
