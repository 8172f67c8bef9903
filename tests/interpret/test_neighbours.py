import functools

import jax
import numpy as np
import pytest

from jaxcnn.interpret import nearest_neighbours


@pytest.fixture
def points():
    draws = np.random.default_rng(0)
    return draws.normal(5, 1, (4, 3, 2)), draws.normal(5, 1, (40, 3, 2))


def brute(queries, features, metric):
    """Returns all distances, one pair after the other, in float64."""
    apart = np.zeros((len(queries), len(features)))
    for i, a in enumerate(queries.reshape(len(queries), -1)):
        for j, b in enumerate(features.reshape(len(features), -1)):
            if metric == "euclidean":
                apart[i, j] = np.sqrt(((a - b) ** 2).sum())
            else:
                apart[i, j] = 1 - a @ b / np.sqrt((a @ a) * (b @ b))
    return apart


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_they_are_those_of_all_pairs(points, metric):
    found = nearest_neighbours(*points, 7, metric=metric)
    apart = brute(*points, metric)
    np.testing.assert_array_equal(found.indices, apart.argsort(axis=1)[:, :7])
    expected = np.sort(apart, axis=1)[:, :7]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_an_example_may_be_left_out(points):
    _, features = points
    itself = nearest_neighbours(features, features, 1, metric="euclidean")
    assert itself.indices[:, 0].tolist() == list(range(40))
    assert (itself.distances == 0).all()
    numbers = np.arange(40)
    others = nearest_neighbours(features, features, 39, leave_out=numbers)
    assert (others.indices != numbers[:, None]).all()
    assert np.isfinite(others.distances).all()


@pytest.mark.thorough
def test_far_from_the_origin_near_ones_are_told_apart():
    line = 1e4 + np.arange(8.0)[:, None] / 8
    found = nearest_neighbours(line[:1], line, 4, metric="euclidean")
    assert found.indices.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(found.distances[0], np.arange(4) / 8)


def test_zeros_are_far_from_everything():
    found = nearest_neighbours(np.zeros((1, 2)), np.eye(2), 2)
    assert found.distances.tolist() == [[1.0, 1.0]]


def test_it_compiles(points):
    compiled = jax.jit(functools.partial(nearest_neighbours, count=3))
    plain = nearest_neighbours(*points, 3)
    np.testing.assert_array_equal(compiled(*points).indices, plain.indices)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "cosin"}, "metric='cosin' is unknown.*'cosine'"),
        ({"count": 41}, "count=41, but there are 40 examples only"),
        ({"count": 40, "leave_out": [0, 1, 2, 3]}, "there are 39 examples only"),
        ({"count": 0}, "count must be"),
    ],
)
def test_errors(points, options, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(*points, **options)


def test_widths_must_fit(points):
    with pytest.raises(ValueError, match=r"queries have 5 numbers .* features 6"):
        nearest_neighbours(np.zeros((1, 5)), points[1])
