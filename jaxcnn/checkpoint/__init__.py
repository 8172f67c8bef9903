"""Checkpoints of any tree of arrays: verified, latest and best kept apart."""

from jaxcnn.checkpoint.checkpoints import Checkpoints, Restored

__all__ = ["Checkpoints", "Restored"]
