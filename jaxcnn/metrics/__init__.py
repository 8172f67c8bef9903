"""Metrics per example, `[batch]`, and the mean of them that merges exactly."""

from jaxcnn.metrics.classification import all_correct, correct, top_k_correct
from jaxcnn.metrics.mean import Mean
from jaxcnn.metrics.reconstruction import psnr, squared_error_per_image

__all__ = [
    "Mean",
    "all_correct",
    "correct",
    "psnr",
    "squared_error_per_image",
    "top_k_correct",
]
