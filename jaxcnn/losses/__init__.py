"""Losses per example, `[batch]`: the caller masks and averages."""

from jaxcnn.losses.classification import margin_loss, softmax_cross_entropy
from jaxcnn.losses.focal import focal_loss, sigmoid_focal_loss
from jaxcnn.losses.multi_label import sigmoid_cross_entropy
from jaxcnn.losses.overlap import dice_loss, jaccard_loss
from jaxcnn.losses.penalties import make_penalty
from jaxcnn.losses.reconstruction import (
    absolute_error,
    binary_cross_entropy,
    half_squared_error,
    huber,
    squared_error,
    ssim_loss,
)
from jaxcnn.losses.table import LOSSES, list_losses, make_loss
from jaxcnn.losses.weights import balanced_weights

__all__ = [
    "LOSSES",
    "absolute_error",
    "balanced_weights",
    "binary_cross_entropy",
    "dice_loss",
    "focal_loss",
    "half_squared_error",
    "huber",
    "jaccard_loss",
    "list_losses",
    "make_loss",
    "make_penalty",
    "margin_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "squared_error",
    "ssim_loss",
]
