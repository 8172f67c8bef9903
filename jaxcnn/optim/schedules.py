"""Learning rates as functions of the step, by name."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxcnn.named import call_named
from jaxcnn.optim.durations import parse_duration
from jaxcnn.optim.shapes import SHAPES, Span
from jaxcnn.typing import Array

Schedule = Callable[[Any], Array]


def make_schedule(
    name: str,
    learning_rate: float,
    total_steps: int,
    *,
    warmup_steps: int | str = 0,
    steps_per_epoch: int | None = None,
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
    | `polynomial` | the same by :math:`(1 - t/T)^p` | `power=2.0`, `final_factor` |
    | `exponential` | :math:`\eta q^{t/e}` | `factor`, `every=1`, `staircase=False` |
    | `step` | times `factor` every so many steps | `every`, `factor=0.1` |
    | `multistep` | times `factor` from every boundary on | `boundaries`, `factor=0.1` |
    | `cosine` | to `final_factor` along half a cosine | `final_factor=0.0` |
    | `cosine_restarts` | half cosines, again and again | `period`, see below |
    | `one_cycle` | up to :math:`\eta`, down to almost 0, along cosines | see below |
    | `flat_cosine` | :math:`\eta`, then half a cosine | `flat="75%"`, `final_factor` |
    | `explore_exploit` | up, :math:`\eta`, down, along lines | see below |

    `boundaries` are steps of the run, the warm-up included: the update of that number
    is the first with the lower rate; so are the multiples of `every` in `step`, which
    takes `boundaries` too. `cosine_restarts` makes each of its periods `multiplier` (1)
    times as long as the one before, and starts it at `peak_factor` (1) times its peak.
    `one_cycle` starts at `start_factor` (1/25) times the peak, reaches it at the share
    `peak_at` (0.3) of the steps and ends at `final_factor` (4e-6) times the peak,
    PyTorch's and fastai's values. `explore_exploit`, Ranger21's, rises over `warmup`
    (22 %) of the run, or 2 / (1 - `b2`) steps if that is less, and falls to 0 over
    `warmdown` (28 %). It takes no other warm-up.

    `warmup_steps`, `boundaries`, `every`, `period`, `flat`, `warmup` and `warmdown` are
    durations: a number of steps, or text such as `"5 epochs"` or `"10%"` (of the run).

    Args:
        name: One of the table.
        learning_rate: The highest rate, :math:`\eta`.
        total_steps: Length of the run in steps, the warm-up included.
        warmup_steps: Length of a linear rise before it, a duration.
        steps_per_epoch: Steps of one pass over the data, for durations in epochs.
        **options: Of the schedule of that name, see the table.

    Returns:
        A function from the step, a number or a traced integer, to a float32 scalar.

    Raises:
        ValueError: if the name or an option is unknown, or a value is out of range.

    Example:
        >>> schedule = make_schedule("cosine", 0.1, 12, warmup_steps=4)
        >>> print(*(f"{schedule(step):.3f}" for step in (0, 3, 4, 8, 12)))
        0.020 0.080 0.100 0.050 0.000
        >>> schedule = make_schedule(
        ...     "multistep", 0.1, 90, steps_per_epoch=10, boundaries=["3 epochs", "50%"]
        ... )
        >>> print(*(f"{schedule(step):.3f}" for step in (29, 30, 45)))
        0.100 0.010 0.001

    References:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2 (warm-up),
        https://arxiv.org/abs/1706.02677.
        Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
        ICLR 2017, https://arxiv.org/abs/1608.03983.
        Smith and Topin, "Super-Convergence", 2018, https://arxiv.org/abs/1708.07120.
        Wright and Demeure, "Ranger21", 2021, https://arxiv.org/abs/2106.13731.
    """
    check_learning_rate(learning_rate)
    warmup = parse_duration(
        warmup_steps,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        argument="warmup_steps",
    )
    _check_lengths(total_steps, warmup)
    span = Span(learning_rate, warmup, total_steps, steps_per_epoch)
    shape = call_named("schedule", SHAPES, name, span, **options)

    def schedule(step: Any) -> Array:
        rise = (step + 1) / (warmup + 1)
        after = jnp.clip(step - warmup, 0, span.steps)
        rate = jnp.where(step < warmup, rise * shape(0), shape(after))
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
    return sorted(SHAPES)


def check_learning_rate(learning_rate: float) -> None:
    """Raises ValueError if a learning rate is negative or not finite."""
    if not 0 <= learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate} is not a finite number >= 0.")
