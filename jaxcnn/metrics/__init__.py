"""Metrics per example, `[batch]`, and the mean of them that merges exactly."""

from jaxcnn.metrics.classification import all_correct, correct, top_k_correct
from jaxcnn.metrics.mean import Mean
from jaxcnn.metrics.multi_label import all_labels_correct, labels_correct
from jaxcnn.metrics.per_class import balanced_accuracy, recall_and_precision
from jaxcnn.metrics.reconstruction import psnr, squared_error_per_image
from jaxcnn.ssim import ssim

__all__ = [
    "Mean",
    "all_correct",
    "all_labels_correct",
    "balanced_accuracy",
    "correct",
    "labels_correct",
    "psnr",
    "recall_and_precision",
    "squared_error_per_image",
    "ssim",
    "top_k_correct",
]
