"""Optimizers and learning-rate schedules by name, on Optax."""

from jaxcnn.optim.durations import parse_duration
from jaxcnn.optim.optimizers import list_optimizers, make_optimizer
from jaxcnn.optim.plateau import PlateauProgress, PlateauRule, set_rate_factor
from jaxcnn.optim.schedules import list_schedules, make_schedule

__all__ = [
    "PlateauProgress",
    "PlateauRule",
    "list_optimizers",
    "list_schedules",
    "make_optimizer",
    "make_schedule",
    "parse_duration",
    "set_rate_factor",
]
