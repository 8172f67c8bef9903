"""What happens in every layer: gradients, updates, activations, dead units."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn.train.activations import layer_outputs
from jaxcnn.train.forward import apply_model, measure, prepare, step_keys, streams
from jaxcnn.train.state import TrainState, require_train_argument
from jaxcnn.train.task import Task
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, Batch, PyTree

Statistics = dict[str, dict[str, Array]]


def make_layer_statistics(
    model: nn.Module,
    task: Task,
    tx: optax.GradientTransformation | None = None,
    *,
    preprocess: Callable[[Array], Array] | None = None,
    augment: Callable[[Array, Batch], Batch] | None = None,
    penalty: Callable[[PyTree], Array] | None = None,
) -> Callable[[TrainState, Batch], Statistics]:
    r"""Returns `statistics(state, batch)`, pure: numbers of every layer, uncompiled.

    A layer is a module with parameters of its own, by its path. The numbers are those
    of the step that the state would make next on this batch: the same augmentation,
    dropout and batch statistics. Nothing of the state changes. For each layer:

    - `"gradient_norm"`, `"parameter_norm"`: over all its parameters,
    - `"update_norm"`: of what the optimizer would add to them, and `"update_ratio"`,
      that by the norm of the parameters, if `tx` is given,
    - `"mean"`, `"std"` and `"zeros"`, the share of exact zeros, of what the layer gives
      out, its activation function included (see `layer_outputs`),
    - `"dead"`, the share of its units (channels) that are 0 on the whole batch, at all
      positions: a ReLU that is so on all data has no gradient and never comes back.

    The last four are missing where the layer's output cannot be seen, or is not one
    array. Layers come in the order in which they are called, unless `jax.jit` sorts
    them. Under a mesh give it the same state and batch; it needs no `axis_name`.

    Args:
        model: As for `make_train_step`.
        task: Likewise.
        tx: The optimizer; without one nothing is said of updates.
        preprocess: As in training.
        augment: As in training.
        penalty: As in training.

    Raises:
        ValueError: if the model's call has no argument `train`; while tracing, as
            `make_train_step`'s.
    """
    require_train_argument(model)
    if getattr(model, "axis_name", None) is not None:
        model = model.clone(axis_name=None)

    def statistics(state: TrainState, batch: Batch) -> Statistics:
        augment_key, model_key = step_keys(state, None)
        batch = prepare(batch, preprocess, augment, augment_key, None)

        def outputs(params: PyTree, batch: Batch) -> Any:
            return apply_model(
                model,
                {"params": params, **state.model_state},
                task.inputs(batch),
                train=True,
                rngs=streams(model_key),
                mutable=list(state.model_state),
            )

        def objective(params: PyTree) -> Array:
            loss, _ = measure(task, outputs(params, batch)[0], batch)
            value = loss.total / jnp.sum(batch["mask"])
            return value if penalty is None else value + penalty(params)

        grads = jax.grad(objective)(state.params)
        updates = None
        if tx is not None:
            updates, _ = tx.update(grads, state.opt_state, state.params)
        found = layer_outputs(outputs, state.params, batch)
        return _collect(found, state.params, grads, updates)

    return statistics


def layer_statistics(
    model: nn.Module,
    task: Task,
    state: TrainState,
    batch: Batch,
    tx: optax.GradientTransformation | None = None,
    **options: Any,
) -> dict[str, dict[str, float]]:
    """Returns the numbers of every layer at a state, in the order of the calls.

    Compiles on each call; within a run use the hook `LayerStatistics`.

    Args:
        model: As for `make_layer_statistics`.
        task: Likewise.
        state: From `init_state` or training.
        batch: As the train step takes it.
        tx: The optimizer.
        **options: As for `make_layer_statistics`.
    """
    return compiled_statistics(make_layer_statistics(model, task, tx, **options))(
        state, batch
    )


def compiled_statistics(
    statistics: Callable[[TrainState, Batch], Statistics],
) -> Callable[[TrainState, Batch], dict[str, dict[str, float]]]:
    """Returns the function compiled, giving plain numbers in the order of the calls."""
    order: list[str] = []

    def traced(state: TrainState, batch: Batch) -> Statistics:
        found = statistics(state, batch)
        order[:] = found
        return found

    compiled = jax.jit(traced)

    def call(state: TrainState, batch: Batch) -> dict[str, dict[str, float]]:
        values = jax.device_get(compiled(state, batch))
        # jax.jit sorts dictionaries by their keys.
        return {
            name: {key: float(value) for key, value in values[name].items()}
            for name in order
        }

    return call


def _collect(
    outputs: dict[str, Any], params: PyTree, grads: PyTree, updates: PyTree | None
) -> Statistics:
    """Returns the numbers of every layer, those with outputs first."""
    norms = {
        "parameter_norm": _layer_norms(params),
        "gradient_norm": _layer_norms(grads),
    }
    if updates is not None:
        norms["update_norm"] = _layer_norms(updates)
    names = [*outputs, *(n for n in norms["parameter_norm"] if n not in outputs)]
    found: Statistics = {}
    for name in names:
        values = {kind: layers[name] for kind, layers in norms.items()}
        if updates is not None:
            values["update_ratio"] = values["update_norm"] / jnp.maximum(
                values["parameter_norm"], 1e-12
            )
        if name in outputs:
            values |= _activation_numbers(outputs[name])
        found[name] = values
    return found


def _layer_norms(tree: PyTree) -> dict[str, Array]:
    """Returns the norm over each layer's own leaves."""
    squares: dict[str, Array] = {}
    for name, leaf in flatten_named(tree).items():
        layer = name.rpartition("/")[0]
        # float16 and bfloat16 would overflow or round the sum away.
        square = jnp.sum(jnp.square(leaf.astype(jnp.float32)))
        squares[layer] = squares.get(layer, 0.0) + square
    return {layer: jnp.sqrt(square) for layer, square in squares.items()}


def _activation_numbers(x: Array) -> dict[str, Array]:
    x = x.astype(jnp.float32)
    zero = x == 0
    unit_is_dead = jnp.all(zero, axis=tuple(range(x.ndim - 1)))
    return {
        "mean": jnp.mean(x),
        "std": jnp.std(x),
        "zeros": jnp.mean(zero, dtype=jnp.float32),
        "dead": jnp.mean(unit_is_dead, dtype=jnp.float32),
    }
