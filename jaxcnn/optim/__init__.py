"""Optimizers and learning-rate schedules by name, on Optax."""

from jaxcnn.optim.optimizers import list_optimizers, make_optimizer
from jaxcnn.optim.schedules import list_schedules, make_schedule

__all__ = ["list_optimizers", "list_schedules", "make_optimizer", "make_schedule"]
