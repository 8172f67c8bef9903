"""Experiments: a configuration, what is built from it, and its run."""

from jaxcnn.experiment.build import Experiment, build
from jaxcnn.experiment.config import (
    DataConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
    ShardingConfig,
    TransferConfig,
)
from jaxcnn.experiment.cross_validation import (
    CrossValidation,
    FoldResult,
    cross_validate,
)
from jaxcnn.experiment.file_predictions import (
    FilePrediction,
    FilePredictions,
    predict_files,
)
from jaxcnn.experiment.hosts import Hosts, together
from jaxcnn.experiment.html.report import HtmlReport, write_html_report
from jaxcnn.experiment.main import describe, main, run
from jaxcnn.experiment.training import Result, train

__all__ = [
    "CrossValidation",
    "DataConfig",
    "Experiment",
    "ExperimentConfig",
    "FilePrediction",
    "FilePredictions",
    "FoldResult",
    "Hosts",
    "HtmlReport",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PenaltyConfig",
    "Result",
    "ShardingConfig",
    "TransferConfig",
    "build",
    "cross_validate",
    "describe",
    "main",
    "predict_files",
    "run",
    "together",
    "train",
    "write_html_report",
]
