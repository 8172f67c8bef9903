"""Dynamic loss scaling: what keeps small gradients from vanishing in float16.

The state is data, `state.extras["loss_scale"]`; the rule by which it changes is a
`LossScale`, given to `make_train_step`.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.layers.checks import check_number
from jaxcnn.metrics import Mean
from jaxcnn.train.finite import all_finite
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Array, PyTree

#: The key of `state.extras` under which the scale is kept.
LOSS_SCALE = "loss_scale"


@dataclasses.dataclass(frozen=True)
class LossScale:
    r"""The rule by which the scale of the loss follows the gradients.

    The loss is multiplied by the scale :math:`s` before its gradient is taken, and the
    gradient is divided by it afterwards, in float32: what passes backwards through the
    network in float16 stays above the smallest number of that type,
    :math:`2^{-24}`. All scales are powers of two, so that multiplying rounds nothing.

    A gradient that is not finite halves the scale, and its update is skipped. After
    `growth_interval` updates in a row the scale is doubled.

    Args:
        initial: The first scale.
        growth_interval: Updates without an overflow after which the scale grows.
        factor: By what it grows and shrinks.
        minimum: The smallest scale. A gradient that is not finite there is not the
            scale's fault: the step reports it as not finite, and the run ends.
        maximum: The largest scale.

    Raises:
        ValueError: if a scale is not a power of two, or they are out of order.

    References:
        Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2,
        https://arxiv.org/abs/1710.03740; the constants are those of PyTorch's and
        Apex's scalers, but for the first scale, which the others find by skipping.
    """

    initial: float = 2.0**15
    growth_interval: int = 2000
    factor: float = 2.0
    minimum: float = 1.0
    maximum: float = 2.0**24

    def __post_init__(self) -> None:
        for name in ("initial", "factor", "minimum", "maximum"):
            value = getattr(self, name)
            check_number(name, value, 0, whole=False)
            if not (0 < value < math.inf and math.frexp(value)[0] == 0.5):
                raise ValueError(f"{name} must be a power of two, got {value}.")
        if not self.factor > 1:
            raise ValueError(f"factor must be above 1, got {self.factor}.")
        if not self.minimum <= self.initial <= self.maximum:
            raise ValueError(
                "Needs minimum <= initial <= maximum, got "
                f"{self.minimum}, {self.initial} and {self.maximum}."
            )
        check_number("growth_interval", self.growth_interval, 1)

    def start(self) -> dict[str, Array]:
        """Returns the first scale, and that no update was good yet."""
        return {
            "scale": jnp.asarray(self.initial, jnp.float32),
            "good_steps": jnp.zeros((), jnp.int32),
        }

    def after(self, values: PyTree, good: Array) -> dict[str, Array]:
        """Returns the scale after a step whose gradient was finite, or was not.

        Args:
            values: From `start`, or from `after` a step before.
            good: Whether it was, a boolean scalar.
        """
        scale, count = values["scale"], jnp.where(good, values["good_steps"] + 1, 0)
        grows = count >= self.growth_interval
        larger = jnp.where(grows, scale * self.factor, scale)
        scale = jnp.where(good, larger, scale / self.factor)
        return {
            "scale": jnp.clip(scale, self.minimum, self.maximum),
            "good_steps": jnp.where(grows, 0, count),
        }


def init_loss_scale(
    state: TrainState, loss_scale: LossScale | None = None
) -> TrainState:
    """Returns the state with the first scale in `extras["loss_scale"]`.

    Args:
        state: From `init_state`, or one that trained without a scale so far.
        loss_scale: The rule that the step has too; `LossScale()` by default.
    """
    loss_scale = loss_scale or LossScale()
    return state.replace(extras={**state.extras, LOSS_SCALE: loss_scale.start()})


def scale_of(state: TrainState) -> Array:
    """Returns the scale by which the loss of the next step is multiplied.

    Raises:
        ValueError: if the state has none.
    """
    if LOSS_SCALE not in state.extras:
        raise ValueError(
            f"The state has no {LOSS_SCALE!r}, which a step with loss_scale needs: "
            "start it with init_loss_scale(state, loss_scale)."
        )
    return state.extras[LOSS_SCALE]["scale"]


def unscaled(grads: PyTree, scale: Array) -> PyTree:
    """Returns the gradient of the loss, given that of the loss times `scale`."""
    return jax.tree.map(lambda g: g * (1 / scale).astype(g.dtype), grads)


def skip_overflow(
    loss_scale: LossScale,
    state: TrainState,
    new: TrainState,
    grads: PyTree,
    metrics: Metrics,
) -> tuple[TrainState, Metrics, Array]:
    """Returns the state after a step, its metrics and whether the update was made.

    Where the loss, the gradient or the model's new collections are not finite, all but
    the number of steps and the scale is that of before; metrics that are not finite
    then count no example. `"loss_scale"` is the scale that the step had, `"skipped"`
    1 if there was no update.

    Args:
        loss_scale: The rule.
        state: Before the step.
        new: After the update.
        grads: The unscaled gradient of the global batch.
        metrics: Those of the global batch.
    """
    good = all_finite((metrics["loss"].total, grads, new.model_state))

    def choose(after: Any, before: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), after, before)

    kept = ("params", "model_state", "opt_state")
    parts = {n: choose(getattr(new, n), getattr(state, n)) for n in kept}
    values = loss_scale.after(state.extras[LOSS_SCALE], good)
    metrics = {name: _counted(mean, good) for name, mean in metrics.items()}
    metrics["loss_scale"] = Mean.of(scale_of(state).reshape(1))
    metrics["skipped"] = Mean.of(1 - good.astype(jnp.float32).reshape(1))
    extras = {**new.extras, LOSS_SCALE: values}
    return new.replace(**parts, extras=extras), metrics, good


def _counted(mean: Mean, good: Array) -> Mean:
    """Returns the mean of nothing where a skipped step's is not finite."""
    keep = good | jnp.isfinite(mean.total)
    return jax.tree.map(lambda x: jnp.where(keep, x, 0), mean)
