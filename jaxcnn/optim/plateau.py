"""Reduce on plateau: the decision, and the factor in the optimizer's state."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcnn.optim.ranges import check_range
from jaxcnn.tree import nearest
from jaxcnn.typing import Array, PyTree


class PlateauProgress(NamedTuple):
    """What `PlateauRule.after` goes on from.

    Attributes:
        rate: The learning rate that holds now.
        best: The best value so far, or None before the first.
        bad: Evaluations since then without a better one.
        cooldown: Evaluations for which none counts as bad.
    """

    rate: float
    best: float | None = None
    bad: int = 0
    cooldown: int = 0


@dataclasses.dataclass(frozen=True)
class PlateauRule:
    """When a learning rate is reduced, in PyTorch's terms and with its defaults.

    Attributes:
        metric: Name in the records of the evaluation, such as `"loss"`.
        mode: `"min"` or `"max"`: what is better.
        factor: What the rate is multiplied by.
        patience: Evaluations without a better value that are tolerated.
        threshold: A value counts as better if it is so by more than this.
        threshold_mode: `"rel"`: a share of the best value; `"abs"`: a difference.
        cooldown: Evaluations after a reduction for which none counts as bad.
        min_lr: The rate never falls below.
        eps: A reduction smaller than this is left out.

    Raises:
        ValueError: if a value is not allowed.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html
    """

    metric: str = "loss"
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name, allowed in {
            "mode": ("min", "max"),
            "threshold_mode": ("rel", "abs"),
        }.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(
                    f"{name}={value!r} is unknown.{nearest(str(value), allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )
        check_range("factor", self.factor, low=0, high=1, open_low=True)
        for name in ("patience", "threshold", "cooldown", "min_lr", "eps"):
            check_range(name, getattr(self, name), low=0)

    def after(self, progress: PlateauProgress, value: float) -> PlateauProgress:
        """Returns the progress after an evaluation that gave `value`."""
        rate, best, bad, cooldown = progress
        if self._is_better(value, best):
            best, bad = value, 0
        else:
            bad += 1
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        if bad > self.patience:
            lower = max(rate * self.factor, self.min_lr)
            rate = lower if rate - lower > self.eps else rate
            cooldown, bad = self.cooldown, 0
        return PlateauProgress(rate, best, bad, cooldown)

    def _is_better(self, value: float, best: float | None) -> bool:
        sign = 1 if self.mode == "min" else -1
        if best is None:  # NaN and the worst of all are not better than nothing
            return sign * value < math.inf
        if self.threshold_mode == "rel":
            return sign * value < sign * best * (1 - sign * self.threshold)
        return sign * value < sign * best - self.threshold


class RateFactorState(NamedTuple):
    """The state of `scale_by_rate_factor`: float32 scalar."""

    factor: Array


def scale_by_rate_factor() -> optax.GradientTransformation:
    """Returns a multiplication of the updates by a number in the state, 1 at first."""

    def update(
        updates: PyTree, state: RateFactorState, params: PyTree = None
    ) -> tuple[PyTree, RateFactorState]:
        scaled = jax.tree.map(lambda u: u * state.factor.astype(u.dtype), updates)
        return scaled, state

    return optax.GradientTransformation(
        lambda params: RateFactorState(jnp.ones((), jnp.float32)), update
    )


def set_rate_factor(opt_state: PyTree, factor: float) -> PyTree:
    """Returns the optimizer's state with another factor of the learning rate.

    Args:
        opt_state: Of `make_optimizer(..., rate_factor=True)`.
        factor: The new factor.

    Raises:
        ValueError: if the state holds no such factor.
    """
    found = []

    def is_state(node: PyTree) -> bool:
        return isinstance(node, RateFactorState)

    def replace(node: PyTree) -> PyTree:
        if not is_state(node):
            return node
        found.append(node)
        # Computed from the old one, so that it lies where that lay: no new compilation.
        return RateFactorState(node.factor * 0 + jnp.float32(factor))

    new = jax.tree.map(replace, opt_state, is_leaf=is_state)
    if not found:
        raise ValueError(
            "The optimizer's state has no factor of the learning rate: make it with "
            "make_optimizer(..., rate_factor=True)."
        )
    return new
