"""What happens around the steps of a run: logs, evaluation, saving, stopping."""

from jaxcnn.train.hooks.base import Hook
from jaxcnn.train.hooks.evaluation import EarlyStopping, Evaluate
from jaxcnn.train.hooks.limits import StopOnSignal, TimeLimit
from jaxcnn.train.hooks.progress import Progress
from jaxcnn.train.hooks.records import (
    DrawCurves,
    JsonLines,
    TensorBoard,
    TrainLog,
    read_metrics,
)
from jaxcnn.train.hooks.saving import SaveCheckpoints

__all__ = [
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "Progress",
    "SaveCheckpoints",
    "StopOnSignal",
    "TensorBoard",
    "TimeLimit",
    "TrainLog",
    "read_metrics",
]
