"""What a model says of every example of a split, gathered into arrays."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.train.state import TrainState
from jaxcnn.typing import Array, Batch, PyTree

CollectStep = Callable[[TrainState, Batch], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model gave for each example of a split, every one once, in their order.

    Attributes:
        outputs: What the model returned, such as logits `[n, classes]`; a tree if it
            returned one.
        labels: `[n]`, or None if the data have none.
        positions: Where each example stands in the data, from 0, `[n]`: without gaps
            unless some could not be decoded.
    """

    outputs: Any
    labels: np.ndarray | None
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


def make_collect_step(
    predict: Callable[[PyTree, Array], Any], *, axis_name: str | None = None
) -> CollectStep:
    """Returns `step(state, batch) -> outputs`, labels and mask, pure and not compiled.

    For `parallelize` and then `collect`. Over a mesh all processes get the whole batch.

    Args:
        predict: `predict(variables, images)`, such as `make_predict_step`'s or
            `make_tta_predict`'s.
        axis_name: The mapped axis under `pmap` or `shard_map`.
    """

    def collect_step(state: TrainState, batch: Batch) -> dict[str, Any]:
        variables = {"params": state.params, **state.model_state}
        images = batch["image"]
        found = {
            "outputs": predict(variables, images),
            "mask": batch.get("mask", jnp.ones(len(images), jnp.float32)),
        }
        if "label" in batch:
            found["labels"] = batch["label"]
        if axis_name is None:
            return found
        return jax.tree.map(lambda x: lax.all_gather(x, axis_name, tiled=True), found)

    collect_step.axis_name = axis_name
    return collect_step


def collect(
    step: Callable[[TrainState, Batch], dict[str, Any]],
    state: TrainState,
    batches: Iterable[Batch],
) -> Predictions:
    """Returns what a model says of all examples, without those that the masks hide.

    However the examples fall into batches, and on how many devices and processes, the
    arrays hold each once, in the order of the data. Every process gets all of them.

    Args:
        step: From `make_collect_step`, compiled by `parallelize`.
        state: What to predict with.
        batches: Batches of one size, the last padded under a mask of 0: `EvalData`.

    Raises:
        ValueError: if there is no batch, or no example counts.

    Example:
        >>> from jaxcnn.data import EvalData, from_arrays
        >>> images = np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 2, 2, 1)
        >>> source = from_arrays(images, [0, 1, 0, 1, 1])
        >>> step = make_collect_step(lambda variables, images: images.sum((1, 2)))
        >>> state = TrainState(0, {}, {}, (), jax.random.key(0), {})
        >>> collect(jax.jit(step), state, EvalData(source, 4)).outputs.shape
        (5, 1)
    """
    # Dispatched one after the other; read only when all are on their way.
    parts = jax.device_get([step(state, batch) for batch in batches])
    if not parts:
        raise ValueError("There is nothing to predict: no batches.")
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    counted = whole["mask"] > 0
    if not counted.any():
        raise ValueError("There is nothing to predict: every mask is 0.")
    labels = whole.get("labels")
    return Predictions(
        outputs=jax.tree.map(lambda x: x[counted], whole["outputs"]),
        labels=None if labels is None else labels[counted],
        positions=np.flatnonzero(counted),
    )
