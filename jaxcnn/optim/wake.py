"""Gradual unfreezing: parameters that sleep until a step, as if added there."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcnn import tree
from jaxcnn.optim.groups import Rule, first_match
from jaxcnn.optim.ranges import compiled
from jaxcnn.optim.schedules import Schedule
from jaxcnn.typing import Array, PyTree

#: A regular expression, and the update from which on its parameters are trained.
Wake = tuple[str, int]


class AsleepState(NamedTuple):
    """How many updates there were, and the state of the optimizer that waits."""

    count: Array
    inner: PyTree


def check_wake(wake: Sequence[Wake]) -> tuple[Wake, ...]:
    """Returns the pairs as a tuple.

    Raises:
        ValueError: if one is no pair of a regular expression and a step of 1 or more.
    """
    for k, pair in enumerate(wake):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"wake[{k}] must be a pair (regex, step), got {pair!r}.")
        pattern, start = pair
        compiled(f"wake[{k}]", pattern)
        if not isinstance(start, int) or isinstance(start, bool) or start < 1:
            raise ValueError(
                f"wake[{k}] must name a step of 1 or more, got {start!r} for "
                f"{pattern!r}."
            )
    return tuple((pattern, start) for pattern, start in wake)


def silent_until_awake(wake: Sequence[Wake]) -> optax.GradientTransformation:
    """Returns what makes gradients of sleeping parameters zero: no norm counts them."""

    def update(grads: PyTree, count: Array, params: Any = None) -> tuple[PyTree, Array]:
        def silence(name: str, grad: Array) -> Array:
            k = first_match(wake, name)
            if k is None:
                return grad
            return jnp.where(count >= wake[k][1], grad, jnp.zeros_like(grad))

        return tree.map_named(silence, grads), count + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def in_turn(
    make: Callable[[int], optax.GradientTransformation], wake: Sequence[Wake]
) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer whose parameters begin at different updates.

    Each group has a state of its own, which is that of a first update when it wakes:
    bias corrections and momentum start there, while schedules follow the whole run.

    Args:
        make: Returns the optimizer of a group by the update that it begins with.
        wake: The groups; the first match counts, the rest begins at once.
    """
    starts = sorted({0, *(start for _, start in wake)})

    def labels(params: PyTree) -> PyTree:
        def label(name: str, _: Any) -> str:
            k = first_match(wake, name)
            return "0" if k is None else str(wake[k][1])

        return tree.map_named(label, params)

    groups = {str(start): _asleep_until(make(start), start) for start in starts}
    return optax.partition(groups, labels)


def later(value: float | Schedule, start: int) -> float | Schedule:
    """Returns a rate as the schedule's count sees it that begins at `start`."""
    moved = start and callable(value)
    return (lambda step: value(step + start)) if moved else value


def later_rules(rules: Sequence[Rule], start: int) -> tuple[Rule, ...]:
    """Returns the rules with their schedules as `later` gives them."""
    return tuple(
        (pattern, None if value is None else later(value, start))
        for pattern, value in rules
    )


def _asleep_until(
    tx: optax.GradientTransformation, start: int
) -> optax.GradientTransformation:
    if not start:
        return tx
    tx = optax.with_extra_args_support(tx)

    def init(params: PyTree) -> AsleepState:
        return AsleepState(jnp.zeros((), jnp.int32), tx.init(params))

    def update(
        grads: PyTree, state: AsleepState, params: Any = None, **extra: Any
    ) -> tuple[PyTree, AsleepState]:
        updates, inner = tx.update(grads, state.inner, params, **extra)
        awake = state.count >= start
        inner = jax.tree.map(lambda a, b: jnp.where(awake, a, b), inner, state.inner)
        updates = jax.tree.map(
            lambda u: jnp.where(awake, u, jnp.zeros_like(u)), updates
        )
        return updates, AsleepState(state.count + 1, inner)

    return optax.GradientTransformationExtraArgs(init, update)
