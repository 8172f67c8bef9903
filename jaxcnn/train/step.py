"""Factories of train and eval steps: pure functions, not yet compiled."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from jaxcnn.data.preprocess import to_float
from jaxcnn.layers.checks import check_number
from jaxcnn.metrics import Mean
from jaxcnn.train.accumulate import accumulated
from jaxcnn.train.finite import all_finite, stays_finite
from jaxcnn.train.forward import apply_model, measure, prepare, step_keys, streams
from jaxcnn.train.freezing import Freezing
from jaxcnn.train.loss_scale import LossScale, scale_of, skip_overflow, unscaled
from jaxcnn.train.state import TrainState, require_train_argument
from jaxcnn.train.task import Metrics, Task
from jaxcnn.tree import describe_differences
from jaxcnn.typing import Array, Batch, PyTree

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvalStep = Callable[[TrainState, Batch], Metrics]


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    task: Task,
    *,
    preprocess: Callable[[Array], Array] | None = None,
    augment: Callable[[Array, Batch], Batch] | None = None,
    penalty: Callable[[PyTree], Array] | None = None,
    accumulate: int = 1,
    loss_scale: LossScale | None = None,
    freeze: str | Freezing | None = None,
    axis_name: str | None = None,
) -> TrainStep:
    """Returns `step(state, batch) -> (state, metrics)`, pure and not compiled.

    Integer images are divided by their type's maximum. Then come `augment`,
    `preprocess`, the model, the loss and one update. A `"mask"` in the batch weighs the
    examples; without one all count alike. The metrics are those of the task, `"loss"`,
    `"finite"` (1 if the loss and all of the new state are finite) and, with a penalty,
    `"penalty"`, which the loss leaves out.

    With `accumulate` the batch, augmented, is gone through in that many microbatches,
    whose gradients add up to one update: that of the whole batch, but for batch
    statistics and dropout, which are each microbatch's. The batch has to be a multiple
    of it on each device.

    With `loss_scale` a step whose gradient overflows changes the scale alone. Metrics
    are then also `"loss_scale"` and `"skipped"`, and `"finite"` is 0 only where a
    smaller scale cannot help. The state has to hold a scale: see `init_loss_scale`.

    Under `jax.jit`, also over a mesh, batch statistics and averages are those of the
    global batch. Under `pmap` or `shard_map` set `axis_name`; batch statistics are then
    local unless the model is made with the same `axis_name`.

    Args:
        model: A Linen module, called as `model.apply(variables, *inputs, train=True)`.
        tx: The optimizer, any optax transformation.
        task: What to learn, such as `classification()`.
        preprocess: Pure function of the images, such as `make_preprocess(config)`.
        augment: Pure function `augment(key, batch) -> batch`. It sees images as floats
            in [0, 1] and `batch["position"]`, each example's index in the global batch.
        penalty: Regulariser `penalty(params)`, a scalar added to the mean loss.
        accumulate: Microbatches that a batch is split into.
        loss_scale: Rule of dynamic loss scaling, for models that compute in float16.
        freeze: What is not trained, as a regular expression of parameters or a
            `Freezing`: no gradient is computed of it, and its batch statistics stay.
            Give `make_optimizer` the same, so that it keeps no state for it.
        axis_name: The mapped axis under `pmap` or `shard_map`.

    Raises:
        ValueError: if the model's call has no argument `train`, or `accumulate` is
            below 1; while tracing, if the loss is not `[batch]`, the images do not fit
            the parameters, the batch cannot be split or the state has no scale.
    """
    require_train_argument(model)
    check_number("accumulate", accumulate, 1)
    if isinstance(freeze, str):
        freeze = Freezing(freeze)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        augment_key, model_key = step_keys(state, axis_name)
        batch = prepare(batch, preprocess, augment, augment_key, axis_name)
        count = _sum(jnp.sum(batch["mask"]), axis_name)
        shares = accumulate * (1 if axis_name is None else lax.axis_size(axis_name))
        scale = None if loss_scale is None else scale_of(state)

        def objective(
            params: PyTree, model_state: PyTree, batch: Batch, key: Array
        ) -> tuple[Array, tuple[PyTree, Metrics]]:
            inference = contextlib.nullcontext()
            if freeze is not None:
                params = freeze.stopped(params)
                inference = freeze.inference(params, model_state)
            with inference:
                outputs, changed = apply_model(
                    model,
                    {"params": params, **model_state},
                    task.inputs(batch),
                    train=True,
                    rngs=streams(key),
                    mutable=list(model_state),
                )
            if freeze is not None:
                changed = freeze.kept(params, dict(changed), model_state)
            _require_same_collections(changed, model_state)
            loss, metrics = measure(task, outputs, batch)
            # The share of this device and microbatch; they add up to the global mean.
            value = loss.total / count
            if penalty is not None:
                regulariser = penalty(params)
                metrics["penalty"] = Mean.of(jnp.reshape(regulariser, (1,)))
                value = value + regulariser / shares
            if scale is not None:
                value = value * scale
            return value, (dict(changed), metrics)

        params = state.params
        if axis_name is not None:
            # Else shard_map, but not pmap, would sum the gradients by itself.
            params = lax.pcast(params, axis_name, to="varying")
        gradient = jax.grad(objective, has_aux=True)
        gradient = accumulated(gradient, accumulate, axis_name=axis_name)
        grads, (model_state, metrics) = gradient(
            params, dict(state.model_state), batch, model_key
        )
        grads, metrics = _sum(grads, axis_name), _sum(metrics, axis_name)
        if axis_name is not None:
            model_state = _average(model_state, axis_name)
        if scale is not None:
            grads = unscaled(grads, scale)
        new = _updated(tx, state, grads, model_state)
        finite = all_finite((metrics["loss"].total, new.params, new.model_state))
        finite &= stays_finite(state.opt_state, new.opt_state)
        if loss_scale is not None:
            new, metrics, made = skip_overflow(loss_scale, state, new, grads, metrics)
            finite = jnp.where(made, finite, scale > loss_scale.minimum)
        metrics["finite"] = Mean.of(jnp.reshape(finite.astype(jnp.float32), (1,)))
        return new, metrics

    train_step.axis_name = axis_name
    train_step.donates = True
    train_step.accumulate = accumulate
    return train_step


def make_eval_step(
    model: nn.Module,
    task: Task,
    *,
    preprocess: Callable[[Array], Array] | None = None,
    axis_name: str | None = None,
) -> EvalStep:
    """Returns `evaluate(state, batch) -> metrics`, pure and not compiled.

    Rows with mask 0 count nowhere. The metrics are the task's and `"loss"`, as `Mean`s
    to be merged over batches. Nothing of the state changes.

    Args:
        model: A Linen module, called as `model.apply(variables, *inputs, train=False)`.
        task: What to measure.
        preprocess: As in training.
        axis_name: The mapped axis under `pmap` or `shard_map`.

    Raises:
        ValueError: if the model's call has no argument `train`; while tracing, if the
            loss is not `[batch]`.
    """
    require_train_argument(model)

    def eval_step(state: TrainState, batch: Batch) -> Metrics:
        batch = prepare(batch, preprocess, None, None, axis_name)
        outputs = apply_model(model, state.variables, task.inputs(batch), train=False)
        _, metrics = measure(task, outputs, batch)
        return _sum(metrics, axis_name)

    eval_step.axis_name = axis_name
    eval_step.donates = False
    return eval_step


def make_predict_step(
    model: nn.Module, *, preprocess: Callable[[Array], Array] | None = None
) -> Callable[[PyTree, Array], Any]:
    """Returns `predict(variables, images) -> outputs`, pure and not compiled.

    Args:
        model: A Linen module, called as `model.apply(variables, images, train=False)`.
        preprocess: As in training.
    """
    require_train_argument(model)

    def predict(variables: PyTree, images: Array) -> Any:
        images = to_float(images)
        if preprocess is not None:
            images = preprocess(images)
        return apply_model(model, variables, (images,), train=False)

    return predict


def _require_same_collections(changed: Any, model_state: Any) -> None:
    differences = describe_differences(dict(changed), dict(model_state))
    if differences:
        raise ValueError(
            "The model's collections must keep their names, shapes and types from step "
            f"to step, or every step would be compiled anew: {'; '.join(differences)}. "
            "Overwrite what `sow` adds to, or leave the collection out of the state."
        )


def _updated(
    tx: optax.GradientTransformation, state: TrainState, grads: PyTree, model_state: Any
) -> TrainState:
    """Returns the state after one update."""
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        model_state=model_state,
        opt_state=opt_state,
    )


def _sum(tree: PyTree, axis_name: str | None) -> PyTree:
    return tree if axis_name is None else lax.psum(tree, axis_name)


def _average(tree: PyTree, axis_name: str) -> PyTree:
    """Returns the mean over devices; integers, which have none, are the largest."""

    def average(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return lax.pmean(leaf, axis_name)
        return lax.pmax(leaf, axis_name)

    return jax.tree.map(average, tree)
