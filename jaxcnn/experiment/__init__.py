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
)
from jaxcnn.experiment.main import describe, main, run
from jaxcnn.experiment.training import Result, train

__all__ = [
    "DataConfig",
    "Experiment",
    "ExperimentConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PenaltyConfig",
    "Result",
    "ShardingConfig",
    "build",
    "describe",
    "main",
    "run",
    "train",
]
