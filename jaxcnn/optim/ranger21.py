"""Ranger21: AdamW with the additions that its authors found to work together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcnn.optim.clipping import HEAD, centralize, clip_adaptive, unit_norm
from jaxcnn.optim.direction import Decay, Direction
from jaxcnn.optim.moments import check_moments
from jaxcnn.optim.ranges import check_range
from jaxcnn.typing import Array, PyTree


class Ranger21State(NamedTuple):
    """The state of `ranger21`.

    Attributes:
        count: Updates made, int32 scalar.
        momentum: The momentum of the last update.
        older: The momentum of the one before; empty without positive-negative momentum.
        second: The average of squared gradients.
        largest: The largest such average so far; empty without positive-negative
            momentum.
    """

    count: Array
    momentum: PyTree
    older: PyTree
    second: PyTree
    largest: PyTree


def ranger21(
    decay: Decay,
    *,
    k: int | None = 5,
    alpha: float = 0.5,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clipping: float | None = 1e-2,
    clip_head: bool = False,
    centralized: bool = True,
    positive_negative: float | None = 0.9,
    norm_loss: bool = True,
    stable_decay: bool = True,
    softplus: float | None = None,
) -> Direction:
    r"""Returns Ranger21's direction; Lookahead and the rate are put around it.

    With gradients clipped unit by unit and centred,

    .. math::
        m_t &= \beta_1^2 m_{t-2} + (1 - \beta_1^2) g_t, \quad
        \hat m_t = \frac{(1 + \beta_0) m_t - \beta_0 m_{t-1}}{1 - \beta_1^t} \\
        \hat v_t &= \max_{s \le t} v_s / (1 - \beta_2^t) \\
        d_t &= \frac{\hat m_t}{\sqrt{(1 + \beta_0)^2 + \beta_0^2}
               (\sqrt{\hat v_t} + \epsilon)}
               + \frac{\lambda}{\sqrt{\overline{\hat v_t}}}
               \left(1 - \frac{1}{\lVert \theta \rVert}\right) \theta

    where the bar is the mean over all parameters and the norm that of a unit. Each part
    can be switched off; without any it is AdamW. Its warm-up and warm-down are the
    schedule `explore_exploit`.

    Args:
        decay: :math:`\lambda` and what it acts on; the paper uses 1e-4.
        k: Updates between two of Lookahead; None for none.
        alpha: How far the slow weights of Lookahead go.
        b1: :math:`\beta_1`.
        b2: :math:`\beta_2`.
        eps: :math:`\epsilon`.
        clipping: Of adaptive gradient clipping; None for none.
        clip_head: Whether the head's gradients are clipped too, as in the paper.
        centralized: Whether gradients are centred.
        positive_negative: :math:`\beta_0` of the positive-negative momentum; None for
            Adam's, without the maximum of the second moment that goes with it.
        norm_loss: Whether decay pulls units to the norm 1 instead of 0.
        stable_decay: Whether decay is divided by the mean size of the gradient.
        softplus: Smoothness :math:`\beta` of a softplus around the denominator (50 in
            the authors' code, not in the paper); None for none.

    Raises:
        ValueError: if a number is out of range.

    References:
        Wright and Demeure, "Ranger21: a synergistic deep learning optimizer", 2021,
        algorithm 1, https://arxiv.org/abs/2106.13731.
        Xie et al., "Positive-Negative Momentum", ICML 2021,
        https://arxiv.org/abs/2103.17182.
        Xie et al., "On the Overlooked Pitfalls of Weight Decay" (stable decay), 2020,
        https://arxiv.org/abs/2011.11152.
        Georgiou et al., "Norm Loss", ICPR 2020, https://arxiv.org/abs/2103.06583.
    """
    check_moments(b1, b2, eps)
    if positive_negative is not None:
        check_range("positive_negative", positive_negative, low=0)
    if softplus is not None:
        check_range("softplus", softplus, low=0, open_low=True)
    stages = []
    if clipping is not None:
        stages.append(clip_adaptive(clipping, skip=None if clip_head else HEAD))
    if centralized:
        stages.append(centralize())
    numbers = _Numbers(b1, b2, eps, positive_negative, softplus)
    stages.append(_scale(numbers, decay, norm_loss, stable_decay))
    return Direction(stages, lookahead=None if k is None else (k, alpha))


class _Numbers(NamedTuple):
    """The numbers of the moments, as `ranger21` names them; `b0` may be None."""

    b1: float
    b2: float
    eps: float
    b0: float | None
    softplus: float | None


def _scale(
    numbers: _Numbers, decay: Decay, norm_loss: bool, stable_decay: bool
) -> optax.GradientTransformation:
    """Returns the transformation of clipped and centred gradients."""

    def init(params: PyTree) -> Ranger21State:
        def zeros() -> PyTree:
            return jax.tree.map(jnp.zeros_like, params)

        count = jnp.zeros((), jnp.int32)
        if numbers.b0 is None:
            return Ranger21State(count, zeros(), (), zeros(), ())
        return Ranger21State(count, zeros(), zeros(), zeros(), zeros())

    def update(
        grads: PyTree, state: Ranger21State, params: PyTree
    ) -> tuple[PyTree, Ranger21State]:
        state = _moments(grads, state, numbers)
        mean, variance = _corrected(state, numbers)
        updates = jax.tree.map(lambda m, v: _divide(m, v, numbers), mean, variance)
        if not decay.weight:
            return updates, state
        size = _mean_size(variance) + numbers.eps if stable_decay else 1.0
        shrink = jax.tree.map(
            lambda p, decays: (
                _shrink(p, norm_loss, decay.weight / size)
                if decays
                else jnp.zeros_like(p)
            ),
            params,
            decay.mask(params),
        )
        return jax.tree.map(jnp.add, updates, shrink), state

    return optax.GradientTransformation(init, update)


def _divide(mean: Array, variance: Array, numbers: _Numbers) -> Array:
    denominator = jnp.sqrt(variance) + numbers.eps
    if numbers.softplus is not None:
        smooth = numbers.softplus
        denominator = jax.nn.softplus(smooth * denominator) / smooth
    return mean / denominator


def _moments(grads: PyTree, state: Ranger21State, numbers: _Numbers) -> Ranger21State:
    """Returns the state after a gradient."""
    b1, b2, b0 = numbers.b1, numbers.b2, numbers.b0
    second = optax.tree.update_moment(grads, state.second, b2, 2)
    count = state.count + 1
    if b0 is None:
        momentum = optax.tree.update_moment(grads, state.momentum, b1, 1)
        return Ranger21State(count, momentum, (), second, ())
    # Two momenta take turns: the new one goes on from the one before the last.
    momentum = optax.tree.update_moment(grads, state.older, b1**2, 1)
    largest = jax.tree.map(jnp.maximum, state.largest, second)
    return Ranger21State(count, momentum, state.momentum, second, largest)


def _corrected(state: Ranger21State, numbers: _Numbers) -> tuple[PyTree, PyTree]:
    """Returns the first and second moment without their bias towards zero."""
    b1, b2, b0 = numbers.b1, numbers.b2, numbers.b0
    if b0 is None:
        mean = optax.tree.bias_correction(state.momentum, b1, state.count)
        return mean, optax.tree.bias_correction(state.second, b2, state.count)
    noise = (1 + b0) ** 2 + b0**2
    mean = jax.tree.map(
        lambda new, old: ((1 + b0) * new - b0 * old) / noise**0.5,
        state.momentum,
        state.older,
    )
    mean = optax.tree.bias_correction(mean, b1, state.count)
    return mean, optax.tree.bias_correction(state.largest, b2, state.count)


def _mean_size(variance: PyTree) -> Array:
    """Returns the root of the mean second moment over all parameters."""
    leaves = jax.tree.leaves(variance)
    total = sum(jnp.sum(leaf, dtype=jnp.float32) for leaf in leaves)
    return jnp.sqrt(total / sum(leaf.size for leaf in leaves))


def _shrink(param: Array, norm_loss: bool, weight: Array | float) -> Array:
    """Returns what is subtracted, but for the learning rate."""
    pull = param
    if norm_loss:  # weights of zero stay
        pull = param - param / jnp.maximum(unit_norm(param), 1e-8)
    return (weight * pull).astype(param.dtype)
