"""Metrics per example, `[batch]`, the mean of them that merges exactly, and reports."""

from jaxcnn.metrics.agreement import cohen_kappa, matthews_correlation
from jaxcnn.metrics.bootstrap import Interval, bootstrap_interval
from jaxcnn.metrics.calibration import (
    Calibration,
    brier_score,
    calibration,
    quantile_edges,
)
from jaxcnn.metrics.classification import all_correct, correct, top_k_correct
from jaxcnn.metrics.confusion import (
    ConfusionMatrix,
    accuracy,
    f1,
    f_score,
    precision,
    recall,
    specificity,
)
from jaxcnn.metrics.mean import Mean
from jaxcnn.metrics.multi_label import all_labels_correct, labels_correct
from jaxcnn.metrics.ordered import (
    grade_moments,
    quadratic_kappa,
    with_quadratic_kappa,
)
from jaxcnn.metrics.per_class import balanced_accuracy, recall_and_precision
from jaxcnn.metrics.ranking import (
    auroc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from jaxcnn.metrics.reconstruction import psnr, squared_error_per_image
from jaxcnn.metrics.report import ClassificationReport, classification_report
from jaxcnn.metrics.thresholds import Threshold, choose_threshold
from jaxcnn.ssim import ssim

__all__ = [
    "Calibration",
    "ClassificationReport",
    "ConfusionMatrix",
    "Interval",
    "Mean",
    "Threshold",
    "accuracy",
    "all_correct",
    "all_labels_correct",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_interval",
    "brier_score",
    "calibration",
    "choose_threshold",
    "classification_report",
    "cohen_kappa",
    "correct",
    "f1",
    "f_score",
    "grade_moments",
    "labels_correct",
    "matthews_correlation",
    "precision",
    "precision_recall_curve",
    "psnr",
    "quadratic_kappa",
    "quantile_edges",
    "recall",
    "recall_and_precision",
    "roc_curve",
    "specificity",
    "squared_error_per_image",
    "ssim",
    "top_k_correct",
    "with_quadratic_kappa",
]
