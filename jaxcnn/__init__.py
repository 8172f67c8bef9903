"""Convolutional networks for JAX and Flax Linen: models, training, exact resume.

Importing the package registers the models. Parts that need heavy libraries load these
on first use.
"""

import importlib
from typing import Any

from jaxcnn import (
    arithmetic,
    augment,
    data,
    diagnostics,
    layers,
    losses,
    metrics,
    models,
    ops,
    optim,
    train,
    transfer,
    tree,
)
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.models.features import capture, feature_info
from jaxcnn.models.summary import Summary, summarize
from jaxcnn.registry import create_model, list_models, model_kind, register_model
from jaxcnn.run import Run, load_run
from jaxcnn.train import (
    Task,
    TrainState,
    classification,
    evaluate,
    fit,
    init_state,
    make_eval_step,
    make_mesh,
    make_predict_step,
    make_train_step,
    parallelize,
    reconstruction,
)
from jaxcnn.transfer import (
    PretrainedConfig,
    deepen,
    load_model,
    pretrained_config,
    reinitialize,
)
from jaxcnn.tree import count_params
from jaxcnn.version import __version__

__all__ = [
    "Checkpoints",
    "PreprocessConfig",
    "PretrainedConfig",
    "Run",
    "Summary",
    "Task",
    "TrainState",
    "__version__",
    "arithmetic",
    "augment",
    "capture",
    "classification",
    "count_params",
    "create_model",
    "data",
    "deepen",
    "diagnostics",
    "evaluate",
    "feature_info",
    "fit",
    "init_state",
    "interpret",
    "layers",
    "list_models",
    "load_model",
    "load_run",
    "losses",
    "make_eval_step",
    "make_mesh",
    "make_predict_step",
    "make_preprocess",
    "make_train_step",
    "metrics",
    "model_kind",
    "models",
    "ops",
    "optim",
    "parallelize",
    "pretrained_config",
    "reconstruction",
    "register_model",
    "reinitialize",
    "summarize",
    "train",
    "transfer",
    "tree",
]

#: Packages that are imported when their name is first used.
_LAZY = ("interpret",)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"jaxcnn.{name}")
    raise AttributeError(f"module 'jaxcnn' has no attribute {name!r}")
