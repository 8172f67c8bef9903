"""Tasks, the train state, steps, and the loop with its hooks."""

from jaxcnn.train.capsules import capsules
from jaxcnn.train.debug_nans import NonFinite, find_nonfinite
from jaxcnn.train.ema import averaged, init_ema, of_average, with_ema
from jaxcnn.train.evaluate import evaluate
from jaxcnn.train.hooks import (
    DebugNans,
    DrawCurves,
    EarlyStopping,
    Evaluate,
    Hook,
    JsonLines,
    Progress,
    ReduceOnPlateau,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
    TimeLimit,
    TrainLog,
    read_metrics,
)
from jaxcnn.train.loop import Loop, fit
from jaxcnn.train.multi_label import multi_label
from jaxcnn.train.nonfinite import NonFiniteError, skip_nonfinite
from jaxcnn.train.parallel import ParallelStep, make_mesh, parallelize
from jaxcnn.train.regression import regression
from jaxcnn.train.state import TrainState, init_state
from jaxcnn.train.step import make_eval_step, make_predict_step, make_train_step
from jaxcnn.train.task import Task, classification, reconstruction

__all__ = [
    "DebugNans",
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "Loop",
    "NonFinite",
    "NonFiniteError",
    "ParallelStep",
    "Progress",
    "ReduceOnPlateau",
    "SaveCheckpoints",
    "StopOnSignal",
    "Task",
    "TensorBoard",
    "TimeLimit",
    "TrainLog",
    "TrainState",
    "averaged",
    "capsules",
    "classification",
    "evaluate",
    "find_nonfinite",
    "fit",
    "init_ema",
    "init_state",
    "make_eval_step",
    "make_mesh",
    "make_predict_step",
    "make_train_step",
    "multi_label",
    "of_average",
    "parallelize",
    "read_metrics",
    "reconstruction",
    "regression",
    "skip_nonfinite",
    "with_ema",
]
