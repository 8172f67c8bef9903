"""Weights of other libraries, and of other tasks."""

from jaxcnn.transfer.convert import Converted, convert_weights, recognise_source
from jaxcnn.transfer.deepen import deepen
from jaxcnn.transfer.reinitialize import reinitialize

__all__ = [
    "Converted",
    "convert_weights",
    "deepen",
    "recognise_source",
    "reinitialize",
]
