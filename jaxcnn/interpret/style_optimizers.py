"""Adam and L-BFGS over the pixels of one picture, one step at a time.

The loop is Python's: XLA on CPUs runs a convolution inside a compiled loop on one core,
and so optax's own line searches, which are compiled loops, are left out. What a step
computes is compiled.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import optax

from jaxcnn.typing import Array

#: From a picture to its losses by name, `"total"` among them, and the gradient.
Evaluate = Callable[[Array], tuple[dict[str, Array], Array]]
Steps = Iterator[tuple[Array, dict[str, Array]]]

_HALVINGS = 12
# Sufficient decrease: Nocedal and Wright, "Numerical Optimization", 2006, eq. 3.4.
_ARMIJO = 1e-4


def adam_steps(
    evaluate: Evaluate, image: Array, steps: int, learning_rate: float
) -> Steps:
    """Yields the picture and its losses before and after each step of Adam.

    The rate falls along a cosine to 0 at the last step. Pixels stay in [0, 1].

    Args:
        evaluate: The losses and the gradient of a picture.
        image: Where to start.
        steps: How many.
        learning_rate: How far a pixel may go in the first step.
    """
    init, update = _adam(steps, learning_rate)
    state = init(image)
    losses, gradient = evaluate(image)
    yield image, losses
    for _ in range(steps):
        image, state = update(image, gradient, state)
        losses, gradient = evaluate(image)
        yield image, losses


@functools.cache
def _adam(steps: int, learning_rate: float) -> tuple[Callable, Callable]:
    """Returns what makes the state and what moves the picture, compiled."""
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def update(image, gradient, state):
        change, state = tx.update(gradient, state, image)
        return jnp.clip(image + change, 0, 1), state

    return tx.init, jax.jit(update)


def lbfgs_steps(
    evaluate: Evaluate, image: Array, steps: int, memory_size: int = 10
) -> Steps:
    """Yields the picture and its losses before and after each step of L-BFGS.

    A step is halved until it lowers the loss enough; most are taken whole, at the cost
    of one evaluation. Where no step does, the memory is forgotten, and where the
    gradient itself then leads nowhere the steps end. Pixels stay in [0, 1].

    Args:
        evaluate: The losses and the gradient of a picture.
        image: Where to start.
        steps: How many at most.
        memory_size: Steps whose changes tell the curvature.
    """
    init, direct = _lbfgs(memory_size)
    losses, gradient = evaluate(image)
    yield image, losses
    state, forgotten = init(image), True
    for _ in range(steps):
        direction, state = direct(gradient, state, image)
        found = _search(evaluate, image, losses, gradient, direction)
        if found is None and not forgotten:
            direction, state = direct(gradient, init(image), image)
            found = _search(evaluate, image, losses, gradient, direction)
        if found is None:
            return
        forgotten = False
        image, losses, gradient = found
        yield image, losses


@functools.cache
def _lbfgs(memory_size: int) -> tuple[Callable, Callable]:
    """Returns what makes the state and what gives the direction, compiled."""
    tx = optax.scale_by_lbfgs(memory_size)
    return tx.init, jax.jit(tx.update)


def _search(evaluate, image, losses, gradient, direction):
    """Returns the first picture along `-direction` that is better enough, or None."""
    before, length = float(losses["total"]), 1.0
    for _ in range(_HALVINGS):
        candidate, slope = _moved(image, gradient, direction, length)
        if not slope < 0:
            return None
        found, steepest = evaluate(candidate)
        if float(found["total"]) <= before + _ARMIJO * float(slope):
            return candidate, found, steepest
        length /= 2
    return None


@jax.jit
def _moved(image, gradient, direction, length):
    """Returns the picture after a step, and by how much the loss should change."""
    candidate = jnp.clip(image - length * direction, 0, 1)
    return candidate, jnp.vdot(gradient, candidate - image)
