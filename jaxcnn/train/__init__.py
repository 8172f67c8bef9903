"""Tasks, the train state, steps, and the loop with its hooks."""

from jaxcnn.train.capsules import capsules
from jaxcnn.train.evaluate import evaluate
from jaxcnn.train.hooks import (
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
from jaxcnn.train.loop import Loop, NonFiniteError, fit
from jaxcnn.train.multi_label import multi_label
from jaxcnn.train.parallel import ParallelStep, make_mesh, parallelize
from jaxcnn.train.regression import regression
from jaxcnn.train.state import TrainState, init_state
from jaxcnn.train.step import make_eval_step, make_predict_step, make_train_step
from jaxcnn.train.task import Task, classification, reconstruction
from jaxcnn.train.views import make_tta_predict, with_views

__all__ = [
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "Loop",
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
    "capsules",
    "classification",
    "evaluate",
    "fit",
    "init_state",
    "make_eval_step",
    "make_mesh",
    "make_predict_step",
    "make_train_step",
    "make_tta_predict",
    "multi_label",
    "parallelize",
    "read_metrics",
    "reconstruction",
    "regression",
    "with_views",
]
