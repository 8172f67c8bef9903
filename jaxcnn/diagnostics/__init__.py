"""What learning curves say: pure functions from arrays to a verdict and its reasons."""

from jaxcnn.diagnostics.advice import ADVICE, CASES, Advice
from jaxcnn.diagnostics.curves import Curve, Curves, curves_of
from jaxcnn.diagnostics.diagnosis import Diagnosis, diagnose
from jaxcnn.diagnostics.measures import Measures, measure
from jaxcnn.diagnostics.rules import Thresholds

__all__ = [
    "ADVICE",
    "CASES",
    "Advice",
    "Curve",
    "Curves",
    "Diagnosis",
    "Measures",
    "Thresholds",
    "curves_of",
    "diagnose",
    "measure",
]
