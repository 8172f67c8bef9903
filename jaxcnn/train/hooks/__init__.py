"""What happens around the steps of a run: logs, evaluation, saving, stopping."""

from jaxcnn.named import call_named
from jaxcnn.train.hooks.base import Hook
from jaxcnn.train.hooks.debug import DebugNans
from jaxcnn.train.hooks.evaluation import EarlyStopping, Evaluate
from jaxcnn.train.hooks.limits import StopOnSignal, TimeLimit
from jaxcnn.train.hooks.plateau import ReduceOnPlateau
from jaxcnn.train.hooks.profile import Profile
from jaxcnn.train.hooks.progress import Progress
from jaxcnn.train.hooks.records import (
    DrawCurves,
    JsonLines,
    TensorBoard,
    TrainLog,
    read_metrics,
    read_reports,
)
from jaxcnn.train.hooks.saving import SaveCheckpoints
from jaxcnn.train.hooks.statistics import LayerStatistics


def make_hook(hook: Hook | str) -> Hook:
    """Returns the hook itself, or the one of that name with its default options.

    Raises:
        ValueError: for an unknown name, with the nearest one, or another object.
    """
    named = {
        "progress": Progress,
        "stop_on_signal": StopOnSignal,
        "train_log": TrainLog,
    }
    if isinstance(hook, str):
        return call_named("hook", named, hook)
    if not isinstance(hook, Hook):
        raise ValueError(f"hooks must be Hook objects or names, got {hook!r}.")
    return hook


__all__ = [
    "DebugNans",
    "DrawCurves",
    "EarlyStopping",
    "Evaluate",
    "Hook",
    "JsonLines",
    "LayerStatistics",
    "Profile",
    "Progress",
    "ReduceOnPlateau",
    "SaveCheckpoints",
    "StopOnSignal",
    "TensorBoard",
    "TimeLimit",
    "TrainLog",
    "make_hook",
    "read_metrics",
    "read_reports",
]
