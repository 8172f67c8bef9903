"""Learning rates as functions of the step, by name."""

import itertools
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import optax

from jaxcnn.named import call_named
from jaxcnn.typing import Array

Schedule = Callable[[Any], Array]


def make_schedule(
    name: str,
    learning_rate: float,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    **options: Any,
) -> Schedule:
    r"""Returns the learning rate of every step of a run, `schedule(step)`.

    Steps are updates, counted from 0. With :math:`w` = `warmup_steps`, :math:`\eta` =
    `learning_rate` and a shape :math:`f` that spans the :math:`T` = `total_steps` - `w`
    steps which follow,

    .. math::
        \mathrm{schedule}(s) = \begin{cases}
            f(0)\,(s + 1) / (w + 1) & s < w \\
            f(\min(s - w, T)) & s \ge w.
        \end{cases}

    The first step of a warm-up is therefore not wasted on a rate of zero, and the value
    of the last is kept by any step after `total_steps`.

    | name | :math:`f(t)` | options |
    |---|---|---|
    | `constant` | :math:`\eta` | |
    | `linear` | from :math:`\eta` to `final_factor` :math:`\eta` | `final_factor=0.0` |
    | `cosine` | the same along half a cosine | `final_factor=0.0` |
    | `step` | times `factor` from every boundary on | `boundaries`, `factor=0.1` |
    | `one_cycle` | up to :math:`\eta`, down to almost 0, along cosines | see below |

    `boundaries` of `step` are steps of the run, the warm-up included: the update of
    that number is the first with the lower rate. `one_cycle` starts at
    `start_factor` (1/25) times the peak, reaches it at the share `peak_at` (0.3) of the
    steps and ends at `final_factor` (4e-6) times the peak, PyTorch's and fastai's
    values.

    Args:
        name: One of the table.
        learning_rate: The highest rate, :math:`\eta`.
        total_steps: Length of the run in steps, the warm-up included.
        warmup_steps: Length of a linear rise before it, in steps.
        **options: Of the schedule of that name, see the table.

    Returns:
        A function from the step, a number or a traced integer, to a float32 scalar.

    Raises:
        ValueError: if the name or an option is unknown, or a value is out of range.

    Example:
        >>> schedule = make_schedule("cosine", 0.1, 12, warmup_steps=4)
        >>> print(*(f"{schedule(step):.3f}" for step in (0, 3, 4, 8, 12)))
        0.020 0.080 0.100 0.050 0.000

    References:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2 (warm-up),
        https://arxiv.org/abs/1706.02677.
        Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
        ICLR 2017, https://arxiv.org/abs/1608.03983.
        Smith and Topin, "Super-Convergence", 2018, https://arxiv.org/abs/1708.07120.
    """
    check_learning_rate(learning_rate)
    _check_lengths(total_steps, warmup_steps)
    if name == "step" and "boundaries" in options:
        boundaries = _relative(options["boundaries"], warmup_steps, total_steps)
        options = {**options, "boundaries": boundaries}
    steps = total_steps - warmup_steps
    shape = call_named("schedule", _SHAPES, name, learning_rate, steps, **options)

    def schedule(step: Any) -> Array:
        rise = (step + 1) / (warmup_steps + 1)
        after = jnp.clip(step - warmup_steps, 0, steps)
        rate = jnp.where(step < warmup_steps, rise * shape(0), shape(after))
        # Rounding must not leave the range: a negative rate would ascend.
        return jnp.clip(rate, 0, learning_rate).astype(jnp.float32)

    return schedule


def _check_lengths(total_steps: int, warmup_steps: int) -> None:
    if total_steps < 1:
        raise ValueError(
            f"total_steps={total_steps} is not a positive number of steps."
        )
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps} is not between 0 and "
            f"total_steps={total_steps}."
        )


def list_schedules() -> list[str]:
    """Returns the names that `make_schedule` knows."""
    return sorted(_SHAPES)


def check_learning_rate(learning_rate: float) -> None:
    """Raises ValueError if a learning rate is negative or not finite."""
    if not 0 <= learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate} is not a finite number >= 0.")


def _constant(peak: float, steps: int) -> Schedule:
    return optax.constant_schedule(peak)


def _linear(peak: float, steps: int, *, final_factor: float = 0.0) -> Schedule:
    _check_factor("final_factor", final_factor)
    return optax.linear_schedule(peak, peak * final_factor, steps)


def _cosine(peak: float, steps: int, *, final_factor: float = 0.0) -> Schedule:
    _check_factor("final_factor", final_factor)
    return optax.cosine_decay_schedule(peak, steps, alpha=final_factor)


def _step(
    peak: float, steps: int, *, boundaries: Sequence[int], factor: float = 0.1
) -> Schedule:
    _check_factor("factor", factor)
    return optax.piecewise_constant_schedule(peak, dict.fromkeys(boundaries, factor))


def _one_cycle(
    peak: float,
    steps: int,
    *,
    peak_at: float = 0.3,
    start_factor: float = 1 / 25,
    final_factor: float = 4e-6,
) -> Schedule:
    _check_factor("start_factor", start_factor)
    _check_factor("final_factor", final_factor)
    top = round(peak_at * steps)
    if not 0 < top < steps:
        raise ValueError(
            f"peak_at={peak_at} of {steps} steps leaves no step to rise or to fall; "
            "it is a share of the steps, such as 0.3."
        )

    def schedule(step: Any) -> Array:
        rising = step < top
        low = jnp.where(rising, start_factor, final_factor)
        away = jnp.where(rising, 1 - step / top, (step - top) / (steps - top))
        return peak * (low + (1 - low) * (1 + jnp.cos(jnp.pi * away)) / 2)

    return schedule


_SHAPES = MappingProxyType(
    {
        "constant": _constant,
        "cosine": _cosine,
        "linear": _linear,
        "one_cycle": _one_cycle,
        "step": _step,
    }
)


def _check_factor(argument: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{argument}={value} is not between 0 and 1.")


def _relative(boundaries: Sequence[int], warmup: int, total: int) -> tuple[int, ...]:
    """Returns the boundaries counted from the end of the warm-up."""
    if not isinstance(boundaries, Sequence) or isinstance(boundaries, str):
        raise ValueError(f"boundaries={boundaries!r} must be a list of steps.")
    ends = (warmup, *boundaries, total)
    if not all(first < second for first, second in itertools.pairwise(ends)):
        raise ValueError(
            f"boundaries={tuple(boundaries)} must increase and lie after "
            f"warmup_steps={warmup} and before total_steps={total}."
        )
    return tuple(boundary - warmup for boundary in boundaries)
