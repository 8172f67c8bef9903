"""Losses per example, `[batch]`: the caller masks and averages."""

from jaxcnn.losses.classification import softmax_cross_entropy
from jaxcnn.losses.reconstruction import (
    absolute_error,
    binary_cross_entropy,
    squared_error,
)

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]
