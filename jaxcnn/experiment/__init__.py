"""Experiments: a configuration, what is built from it, and its run."""

from jaxcnn.experiment.build import Experiment, build
from jaxcnn.experiment.config import (
    DataConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
)
from jaxcnn.experiment.hosts import Hosts, together
from jaxcnn.experiment.main import describe, main, run
from jaxcnn.experiment.training import Result, train

__all__ = [
    "DataConfig",
    "Experiment",
    "ExperimentConfig",
    "Hosts",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PenaltyConfig",
    "Result",
    "build",
    "describe",
    "main",
    "run",
    "together",
    "train",
]
