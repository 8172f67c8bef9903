"""Names for the types that every part of the library speaks of."""

from collections.abc import Mapping
from typing import Any

import jax

Array = jax.Array
PyTree = Any
Dtype = Any
#: `{"image": [B, H, W, C], "label": [B], "mask": [B]}` and more keys as a task needs.
Batch = Mapping[str, Any]

__all__ = ["Array", "Batch", "Dtype", "PyTree"]
