"""Weights of other libraries, and of other tasks."""

from jaxcnn.models.cut import Head, WithHead, with_head
from jaxcnn.models.depth import freeze_pattern, rates_by_depth, stages
from jaxcnn.transfer.adapt import adapt_input_kernel
from jaxcnn.transfer.convert import Converted, convert_weights, recognise_source
from jaxcnn.transfer.deepen import deepen
from jaxcnn.transfer.load import load_model
from jaxcnn.transfer.pretrained import (
    PretrainedConfig,
    pretrained_config,
    pretrained_sets,
)
from jaxcnn.transfer.probe import extract_features, linear_probe
from jaxcnn.transfer.propose import TransferProposal, propose_transfer
from jaxcnn.transfer.reinitialize import reinitialize
from jaxcnn.transfer.safetensors import write_safetensors
from jaxcnn.transfer.start import put_weights
from jaxcnn.transfer.weight_file import WeightFile, read_weights

__all__ = [
    "Converted",
    "Head",
    "PretrainedConfig",
    "TransferProposal",
    "WeightFile",
    "WithHead",
    "adapt_input_kernel",
    "convert_weights",
    "deepen",
    "extract_features",
    "freeze_pattern",
    "linear_probe",
    "load_model",
    "pretrained_config",
    "pretrained_sets",
    "propose_transfer",
    "put_weights",
    "rates_by_depth",
    "read_weights",
    "recognise_source",
    "reinitialize",
    "stages",
    "with_head",
    "write_safetensors",
]
