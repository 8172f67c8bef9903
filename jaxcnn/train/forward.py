"""What every step does with a batch: keys, floats, the model, the loss.

The parts that train, eval and prediction steps have in common, and that looks at a step
from outside (layer statistics, the search for what is not finite) repeat.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.errors import (
    ScopeCollectionNotFound,
    ScopeParamNotFoundError,
    ScopeParamShapeError,
)
from jax import lax

from jaxcnn.data.preprocess import to_float
from jaxcnn.metrics import Mean
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics, Task, require_means
from jaxcnn.typing import Array, Batch, PyTree


def prepare(
    batch: Batch,
    preprocess: Callable[[Array], Array] | None,
    augment: Callable[[Array, Batch], Batch] | None,
    key: Array | None,
    axis_name: str | None,
) -> dict[str, Any]:
    """Returns the batch as the model and the task see it: floats, with a mask."""
    batch = dict(batch)
    first = jax.tree.leaves(batch)[0]
    size = first.shape[0]
    batch.setdefault("mask", jnp.ones(size, jnp.float32))
    for name in ("image", "target"):
        if name in batch:
            batch[name] = to_float(batch[name])
    if augment is not None:
        start = 0 if axis_name is None else lax.axis_index(axis_name) * size
        batch.setdefault("position", start + jnp.arange(size, dtype=jnp.int32))
        batch = dict(augment(key, batch))
    if preprocess is not None and "image" in batch:
        batch["image"] = preprocess(batch["image"])
    return batch


def step_keys(state: TrainState, axis_name: str | None) -> tuple[Array, Array]:
    """Returns the keys of this step's augmentation and of the model.

    Functions of the step, so that resuming repeats and skips nothing. Augmentation
    folds in the example's position; the model's key differs per mapped device.
    """
    augment_key, model_key = jax.random.split(jax.random.fold_in(state.rng, state.step))
    if axis_name is not None:
        model_key = jax.random.fold_in(model_key, lax.axis_index(axis_name))
    return augment_key, model_key


def streams(key: Array) -> dict[str, Array]:
    """Returns keys for `make_rng`: dropout, and "params" for any other stream."""
    dropout, other = jax.random.split(key)
    return {"dropout": dropout, "params": other}


def apply_model(
    model: nn.Module, variables: PyTree, inputs: tuple[Any, ...], **options: Any
) -> Any:
    """Returns `model.apply(...)`, with a shape that does not fit as a ValueError."""
    try:
        return model.apply(variables, *inputs, **options)
    except (ScopeParamNotFoundError, ScopeCollectionNotFound) as error:
        raise ValueError(
            f"The state is not one of {type(model).__name__}: {error} "
            "Make it with init_state for the same model."
        ) from error
    except ScopeParamShapeError as error:
        shapes = [list(leaf.shape) for leaf in jax.tree.leaves(inputs)]
        raise ValueError(
            f"Input of shape {', '.join(map(str, shapes))} does not fit the parameters "
            f"of {type(model).__name__}, which were made for another: {error}"
        ) from error


def measure(task: Task, outputs: PyTree, batch: Batch) -> tuple[Mean, Metrics]:
    """Returns the mean loss and all metrics of a batch, the loss among them.

    Raises:
        ValueError: if the task's loss is not one value an example.
    """
    values, mask = task.loss(outputs, batch), batch["mask"]
    if values.shape != mask.shape:
        raise ValueError(
            "Task.loss must return one value per example, "
            f"{list(mask.shape)}, got {list(values.shape)}."
        )
    loss = Mean.of(values, mask)
    metrics = {"loss": loss, **task.metrics(outputs, batch)}
    require_means(metrics)
    return loss, metrics
