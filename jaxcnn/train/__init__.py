"""Tasks, the train state, steps, and the loop with its hooks."""

from jaxcnn.train.batch_statistics import with_batch_statistics
from jaxcnn.train.capsules import capsules
from jaxcnn.train.compilation import compile_ahead
from jaxcnn.train.debug_nans import NonFinite, find_nonfinite
from jaxcnn.train.ema import averaged, init_ema, of_average, with_ema
from jaxcnn.train.epoch import epoch_order, make_epoch, make_steps
from jaxcnn.train.evaluate import evaluate
from jaxcnn.train.fit import fit
from jaxcnn.train.freed_memory import keep_freed_memory
from jaxcnn.train.freezing import Freezing, in_phases
from jaxcnn.train.hooks import (
    DebugNans,
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
from jaxcnn.train.loop import Loop
from jaxcnn.train.loss_scale import LossScale, init_loss_scale
from jaxcnn.train.mesh import make_mesh
from jaxcnn.train.multi_label import multi_label
from jaxcnn.train.nonfinite import NonFiniteError, skip_nonfinite
from jaxcnn.train.parallel import ParallelStep, parallelize
from jaxcnn.train.predictions import Predictions, collect, make_collect_step
from jaxcnn.train.regression import regression
from jaxcnn.train.sharding import Shard, device_bytes, placed, state_shardings
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
from jaxcnn.train.views import make_tta_predict, with_views

__all__ = [
    "PEAKS",
    "Clock",
    "DebugNans",
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Freezing",
    "Hook",
    "JsonLines",
    "LayerStatistics",
    "Loop",
    "LossScale",
    "NonFinite",
    "NonFiniteError",
    "ParallelStep",
    "Peak",
    "Predictions",
    "Profile",
    "Progress",
    "ReduceOnPlateau",
    "SaveCheckpoints",
    "Shard",
    "StopOnSignal",
    "Task",
    "TensorBoard",
    "Throughput",
    "TimeLimit",
    "TrainLog",
    "TrainState",
    "averaged",
    "capsules",
    "classification",
    "collect",
    "compile_ahead",
    "device_bytes",
    "epoch_order",
    "evaluate",
    "find_nonfinite",
    "fit",
    "in_phases",
    "init_ema",
    "init_loss_scale",
    "init_state",
    "keep_freed_memory",
    "layer_statistics",
    "make_collect_step",
    "make_epoch",
    "make_eval_step",
    "make_layer_statistics",
    "make_mesh",
    "make_predict_step",
    "make_steps",
    "make_train_step",
    "make_tta_predict",
    "model_flop_utilization",
    "multi_label",
    "of_average",
    "parallelize",
    "peak_flops",
    "placed",
    "read_metrics",
    "read_reports",
    "reconstruction",
    "regression",
    "skip_nonfinite",
    "state_shardings",
    "with_batch_statistics",
    "with_ema",
    "with_views",
]
