"""Losses per example, `[batch]`: the caller masks and averages."""

from jaxcnn.losses.classification import margin_loss, softmax_cross_entropy
from jaxcnn.losses.reconstruction import (
    absolute_error,
    binary_cross_entropy,
    squared_error,
)

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "margin_loss",
    "softmax_cross_entropy",
    "squared_error",
]
