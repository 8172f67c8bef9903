"""Weights of other libraries, and of other tasks."""

from jaxcnn.transfer.adapt import adapt_input_kernel
from jaxcnn.transfer.convert import Converted, convert_weights, recognise_source
from jaxcnn.transfer.deepen import deepen
from jaxcnn.transfer.load import load_model
from jaxcnn.transfer.pretrained import (
    PretrainedConfig,
    pretrained_config,
    pretrained_sets,
)
from jaxcnn.transfer.reinitialize import reinitialize
from jaxcnn.transfer.safetensors import write_safetensors
from jaxcnn.transfer.weight_file import WeightFile, read_weights

__all__ = [
    "Converted",
    "PretrainedConfig",
    "WeightFile",
    "adapt_input_kernel",
    "convert_weights",
    "deepen",
    "load_model",
    "pretrained_config",
    "pretrained_sets",
    "read_weights",
    "recognise_source",
    "reinitialize",
    "write_safetensors",
]
