"""Comparisons by the largest difference relative to the largest value."""

import numpy as np

from jaxcnn.tree import describe_differences, flatten_named


def assert_close(got, expected, tolerance=1e-4):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    difference = np.abs(got - expected).max() / np.abs(expected).max()
    assert difference < tolerance


def assert_trees_close(got, expected, tolerance=1e-4):
    assert describe_differences(got, expected) == []
    expected = flatten_named(expected)
    for name, leaf in flatten_named(got).items():
        assert np.abs(expected[name]).max() > 0, name
        assert_close(leaf, expected[name], tolerance)
