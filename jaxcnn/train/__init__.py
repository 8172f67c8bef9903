"""Tasks, the train state, steps, and the loop with its hooks."""

from jaxcnn.train.batch_statistics import (
    with_batch_statistics,
)
from jaxcnn.train.capsules import (
    capsules,
)
from jaxcnn.train.debug_nans import (
    NonFinite,
    find_nonfinite,
)
from jaxcnn.train.ema import (
    averaged,
    init_ema,
    of_average,
    with_ema,
)
from jaxcnn.train.evaluate import (
    evaluate,
)
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
from jaxcnn.train.loop import (
    Loop,
    NonFiniteError,
    fit,
)
from jaxcnn.train.loss_scale import (
    LossScale,
    init_loss_scale,
)
from jaxcnn.train.mesh import (
    make_mesh,
)
from jaxcnn.train.multi_label import (
    multi_label,
)
from jaxcnn.train.nonfinite import (
    NonFiniteError,
    skip_nonfinite,
)
from jaxcnn.train.parallel import (
    ParallelStep,
    make_mesh,
    parallelize,
)
from jaxcnn.train.regression import (
    regression,
)
from jaxcnn.train.sharding import (
    Shard,
    device_bytes,
    placed,
    state_shardings,
)
from jaxcnn.train.state import (
    TrainState,
    init_state,
)
from jaxcnn.train.step import (
    make_eval_step,
    make_predict_step,
    make_train_step,
)
from jaxcnn.train.task import (
    Task,
    classification,
    reconstruction,
)

__all__ = [
    "DebugNans",
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "Loop",
    "LossScale",
    "NonFinite",
    "NonFiniteError",
    "ParallelStep",
    "Progress",
    "ReduceOnPlateau",
    "SaveCheckpoints",
    "Shard",
    "StopOnSignal",
    "Task",
    "TensorBoard",
    "TimeLimit",
    "TrainLog",
    "TrainState",
    "averaged",
    "capsules",
    "classification",
    "device_bytes",
    "evaluate",
    "find_nonfinite",
    "fit",
    "init_ema",
    "init_loss_scale",
    "init_state",
    "make_eval_step",
    "make_mesh",
    "make_predict_step",
    "make_train_step",
    "multi_label",
    "of_average",
    "parallelize",
    "placed",
    "read_metrics",
    "reconstruction",
    "regression",
    "skip_nonfinite",
    "state_shardings",
    "with_batch_statistics",
    "with_ema",
]
