"""Tasks, the train state, steps, and the loop with its hooks."""

from jaxcnn.train.capsules import capsules
from jaxcnn.train.compilation import compile_ahead
from jaxcnn.train.evaluate import evaluate
from jaxcnn.train.hooks import (
    DrawCurves,
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    LayerStatistics,
    Profile,
    Progress,
    ReduceOnPlateau,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
    TimeLimit,
    TrainLog,
    read_metrics,
    read_reports,
)
from jaxcnn.train.loop import Loop, NonFiniteError, fit
from jaxcnn.train.multi_label import multi_label
from jaxcnn.train.parallel import ParallelStep, make_mesh, parallelize
from jaxcnn.train.regression import regression
from jaxcnn.train.state import TrainState, init_state
from jaxcnn.train.statistics import layer_statistics, make_layer_statistics
from jaxcnn.train.step import make_eval_step, make_predict_step, make_train_step
from jaxcnn.train.task import Task, classification, reconstruction
from jaxcnn.train.throughput import (
    PEAKS,
    Peak,
    Throughput,
    model_flop_utilization,
    peak_flops,
)
from jaxcnn.train.timing import Clock

__all__ = [
    "PEAKS",
    "Clock",
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "LayerStatistics",
    "Loop",
    "NonFiniteError",
    "ParallelStep",
    "Peak",
    "Profile",
    "Progress",
    "ReduceOnPlateau",
    "SaveCheckpoints",
    "StopOnSignal",
    "Task",
    "TensorBoard",
    "Throughput",
    "TimeLimit",
    "TrainLog",
    "TrainState",
    "capsules",
    "classification",
    "compile_ahead",
    "evaluate",
    "fit",
    "init_state",
    "layer_statistics",
    "make_eval_step",
    "make_layer_statistics",
    "make_mesh",
    "make_predict_step",
    "make_train_step",
    "model_flop_utilization",
    "multi_label",
    "parallelize",
    "peak_flops",
    "read_metrics",
    "read_reports",
    "reconstruction",
    "regression",
]
