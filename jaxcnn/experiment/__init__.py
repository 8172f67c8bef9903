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
from jaxcnn.experiment.hosts import Hosts, together
from jaxcnn.experiment.main import describe, main, run
from jaxcnn.experiment.training import Result, train

__all__ = [
    "CrossValidation",
    "DataConfig",
    "Experiment",
    "ExperimentConfig",
    "FoldResult",
    "Hosts",
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
    "run",
    "together",
    "train",
]
