"""The exponential moving average of the weights, kept beside them in the state."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.tree import nearest
from jaxcnn.typing import Array, Batch, PyTree

#: Where the averages stand in `state.extras`.
EMA = "ema"

_Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_ema(state: TrainState) -> TrainState:
    """Returns the state with `extras["ema"]`: the average so far is what it holds now.

    The averages of parameters and of the model's other collections are copies, so that
    a step may be given the state's memory. They are float32 even where the parameters
    are of a shorter type; float64 stays.

    Args:
        state: From `init_state`, or of a run that goes on with an average from here.
    """
    extras = {**state.extras, EMA: jax.jit(_copies)(_averaged_part(state))}
    return state.replace(extras=extras)


def with_ema(
    step: _Step, decay: float = 0.999, *, warmup: bool = True, every: int = 1
) -> _Step:
    r"""Returns the train step, which then also averages the weights it has made.

    After every update the averages :math:`\bar\theta` move towards the parameters
    :math:`\theta`,

    .. math:: \bar\theta \leftarrow \bar\theta + (1 - d_t)(\theta - \bar\theta), \quad
        d_t = \min(d, (1 + t) / (10 + t)),

    with :math:`d` = `decay` and :math:`t` the averagings before this one: TensorFlow's
    rule, under which an average of the first steps forgets the initial weights soon.
    Without `warmup`, :math:`d_t = d`: after :math:`n` steps the initial weights still
    have the share :math:`d^n`. Batch statistics and all other floats of the model's
    collections are averaged alike, since statistics of the last weights would not fit
    averaged ones; integers are those of the last step. Nothing of the training changes.

    The result is not compiled, as `step` is not. `init_ema` makes the first averages,
    `averaged` gives what is to be evaluated.

    Args:
        step: From `make_train_step`, or your own; not compiled.
        decay: Share of the average that stays, in [0, 1): about 1 / (1 - decay) steps
            count.
        warmup: Whether the decay grows from 1/10 at the first averaging.
        every: Steps from one averaging to the next, which `decay` is then for.

    Raises:
        ValueError: if an option is out of range; while tracing, if the state holds no
            averages.

    References:
        Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
        Journal on Control and Optimization 30(4), 1992, pp. 838-855,
        https://doi.org/10.1137/0330046, for averages of the trajectory. Tarvainen,
        Valpola, "Mean teachers are better role models", NeurIPS 2017,
        https://arxiv.org/abs/1703.01780, for exponential ones of a network. The
        warm-up: https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.
    """
    check_ema(decay, every)

    @functools.wraps(step)  # keeps the attributes of the step too
    def ema_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        averages = _averages_of(state)
        new, metrics = step(state, batch)
        number = (new.step // every - 1).astype(jnp.float32)
        rate = jnp.float32(decay)
        if warmup:
            rate = jnp.minimum(rate, (1 + number) / (10 + number))
        newest = _averaged_part(new)
        if every == 1:
            averages = _moved(averages, newest, rate)
        else:
            averages = lax.cond(
                new.step % every == 0,
                lambda: _moved(averages, newest, rate),
                lambda: averages,
            )
        return new.replace(extras={**new.extras, EMA: averages}), metrics

    return ema_step


def averaged(state: TrainState) -> TrainState:
    """Returns the state with the averages in place of the weights, or as it is.

    A pure function, also inside a compiled step. The averages have the types of the
    weights; a state without averages comes back unchanged.
    """
    if EMA not in state.extras:
        return state
    saved = {"extras": {EMA: state.extras[EMA]}}
    return state.replace(**average_in(saved, _averaged_part(state)))


def of_average(
    step: Callable[[TrainState, Batch], Metrics],
) -> Callable[[TrainState, Batch], Metrics]:
    """Returns an evaluation step, not compiled, that measures the averaged weights.

    Args:
        step: From `make_eval_step`, or your own.
    """

    @functools.wraps(step)  # keeps the attributes of the step too
    def eval_step(state: TrainState, batch: Batch) -> Metrics:
        return step(averaged(state), batch)

    return eval_step


def without_average(state: TrainState) -> TrainState:
    """Returns the state without averages: `averaged` then changes nothing."""
    extras = {name: tree for name, tree in state.extras.items() if name != EMA}
    return state.replace(extras=extras)


def weights_of(state: TrainState) -> dict[str, PyTree]:
    """Returns the weights, and their averages if there are any, by field."""
    part = _averaged_part(state)
    return part | ({EMA: state.extras[EMA]} if EMA in state.extras else {})


def replace_weights(state: TrainState, weights: dict[str, PyTree]) -> TrainState:
    """Returns the state with what `weights_of` returned for another one."""
    weights = dict(weights)
    averages = {EMA: weights.pop(EMA)} if EMA in weights else {}
    return state.replace(extras={**state.extras, **averages}, **weights)


def abstract_average(part: PyTree) -> PyTree:
    """Returns the averages of `part`, as shapes at their place in a saved state.

    Args:
        part: `{"params": ..., "model_state": ...}`, arrays or shapes.
    """
    return {"extras": {EMA: jax.eval_shape(_copies, part)}}


def average_in(saved: PyTree, part: PyTree) -> PyTree:
    """Returns the averages of a saved state in the types of `part`."""
    averages = saved["extras"][EMA]
    return jax.tree.map(lambda x, y: x.astype(y.dtype), averages, part)


def check_ema(decay: float, every: int) -> None:
    """Raises ValueError unless the options of an average are in their ranges."""
    if not 0 <= decay < 1:
        raise ValueError(f"The decay of an average must be in [0, 1), got {decay}.")
    if every < 1 or every != int(every):
        raise ValueError(f"every must be a whole number of 1 or more, got {every}.")


def _averaged_part(state: TrainState) -> dict[str, PyTree]:
    return {"params": state.params, "model_state": dict(state.model_state)}


def _averages_of(state: TrainState) -> PyTree:
    if EMA not in state.extras:
        raise ValueError(
            "The state holds no averages for with_ema: make them with "
            f"init_ema(state). Its extras are {sorted(state.extras)}."
            f"{nearest(EMA, state.extras)}"
        )
    return state.extras[EMA]


def _copies(tree: PyTree) -> PyTree:
    return jax.tree.map(_copy, tree)


def _copy(leaf: Array) -> Array:
    """Returns another array of the same values, in float32 at least."""
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
    # Without it the result may be the argument itself, which is then donated twice.
    return jnp.copy(leaf)


def _moved(averages: PyTree, newest: PyTree, decay: Array) -> PyTree:
    def move(average: Array, new: Any) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return _copy(new)
        step = (1 - decay).astype(average.dtype)
        return average + step * (new.astype(average.dtype) - average)

    return jax.tree.map(move, averages, newest)
