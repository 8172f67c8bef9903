"""Optimizers by name: one chain of clipping, weight decay, direction and rate."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import optax

from jaxcnn import tree
from jaxcnn.optim import clipping, groups
from jaxcnn.optim.by_name import list_optimizers, make_direction
from jaxcnn.optim.direction import KERNELS, Decay, Direction
from jaxcnn.optim.lookahead import lookahead as with_lookahead
from jaxcnn.optim.plateau import scale_by_rate_factor
from jaxcnn.optim.ranges import check_range, compiled
from jaxcnn.optim.schedules import Schedule, check_learning_rate
from jaxcnn.optim.wake import (
    Wake,
    check_wake,
    in_turn,
    later,
    later_rules,
    silent_until_awake,
)
from jaxcnn.typing import PyTree

__all__ = ["list_optimizers", "make_optimizer"]


def make_optimizer(
    name: str,
    learning_rate: float | Schedule,
    *,
    weight_decay: float = 0.0,
    decay_mask: str = KERNELS,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    clip_adaptive: float | None = None,
    clip_skip: str | None = clipping.HEAD,
    centralize: bool = False,
    lookahead: int | None = None,
    lookahead_alpha: float = 0.5,
    rules: Sequence[groups.Rule] = (),
    freeze: str | None = None,
    wake: Sequence[Wake] = (),
    rate_factor: bool = False,
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    r"""Returns an Optax optimizer.

    | name | direction :math:`d` of gradient :math:`g` |
    |---|---|
    | `sgd` | :math:`g`; as `momentum` if any is given |
    | `momentum` | :math:`v = \mu v + g`, :math:`d = v` |
    | `nesterov` | :math:`v = \mu v + g`, :math:`d = \mu v + g` |
    | `adagrad` | :math:`g/\sqrt{\sum g^2+\epsilon}` |
    | `adadelta` | :math:`g \sqrt{(E[d^2]+\epsilon)/(E[g^2]+\epsilon)}` |
    | `rmsprop` | :math:`g/\sqrt{E[g^2]+\epsilon}`, through `momentum` if given |
    | `adam`, `adamw` | :math:`\hat m/(\sqrt{\hat v}+\epsilon)` |
    | `nadam` | the same with an :math:`\hat m` that looks ahead as `nesterov` does |
    | `radam` | the same times a rectifier; :math:`\hat m` in the first steps |
    | `lars` | `momentum` of :math:`\eta g \lVert p \rVert/\lVert g \rVert` |
    | `lamb` | `adamw` times :math:`\lVert p \rVert/\lVert d \rVert` |
    | `lion` | :math:`\mathrm{sign}(\beta_1 m + (1-\beta_1) g)` |
    | `muon` | orthogonalised momentum of kernels, `adamw` of the rest |
    | `lookahead` | that of another, `inner`, with slow weights |
    | `ranger` | `radam` of centred gradients, with slow weights |
    | `ranger21` | see `jaxcnn.optim.ranger21` |

    | name | options |
    |---|---|
    | `sgd` | `momentum=0.0` |
    | `momentum`, `nesterov` | `momentum=0.9` |
    | `adagrad` | `initial=0.0` (of the sum), `eps=1e-10` |
    | `adadelta` | `rho=0.9`, `eps=1e-6` |
    | `rmsprop` | `decay_rate`, `eps`, `momentum`, `eps_in_sqrt`, `bias_correction` |
    | `adam`, `adamw`, `nadam`, `radam` | `b1`, `b2`, `eps` |
    | `lars` | `momentum=0.9`, `trust=0.001`, `eps=0.0`, `kernels` |
    | `lamb` | `b1`, `b2`, `eps=1e-6`, `kernels` |
    | `lion` | `b1=0.9`, `b2=0.99` |
    | `muon` | see `jaxcnn.optim.muon` |
    | `lookahead` | `inner="momentum"`, `inner_options`, `k=5`, `alpha=0.5` |
    | `ranger` | `b1=0.95`, `b2`, `eps=1e-5`, `k=6`, `alpha=0.5`, `centralized=True` |
    | `ranger21` | `k=5`, `alpha=0.5`, and switches of every part |

    Defaults: `decay_rate=0.9`, `eps=1e-8`, `b1=0.9`, `b2=0.999`; `rmsprop` has no
    momentum unless it is given. `kernels` are what the trust ratio applies to. Momentum
    is PyTorch's: the rate multiplies the velocity.

    Weight decay :math:`\lambda` is *decoupled* in `adamw`, `lamb`, `lion`, `muon`,
    `ranger` and `ranger21`: :math:`p` shrinks by :math:`\eta \lambda p` beside the
    direction (Loshchilov and Hutter 2019). It is *coupled* in the others: the gradient
    of an L2 penalty :math:`\lambda \lVert p \rVert^2 / 2`, added to the (clipped)
    gradient before the direction is taken, as in PyTorch. The two differ for every
    adaptive direction, so a :math:`\lambda` found for one does not suit the other.
    `adamw` without `weight_decay` is `adam`.

    A gradient is clipped by `clip_adaptive`, by `clip_value` and by `clip_norm`, in
    this order, where they are given, and then centred.

    Args:
        name: One of the table.
        learning_rate: A number, or a function of the step such as `make_schedule`
            returns.
        weight_decay: :math:`\lambda`, 0 for none.
        decay_mask: Regular expression, searched for in names such as
            `"conv1/kernel"`: the parameters that decay. By default kernels only, so
            neither biases nor the scales of norms.
        clip_norm: Largest norm of the whole gradient (of what is not frozen), which is
            scaled down to it; None for no limit.
        clip_value: Largest magnitude of any entry of the gradient.
        clip_adaptive: Largest ratio of the norm of a unit's gradient to that of its
            weights (adaptive gradient clipping, Brock et al. 2021).
        clip_skip: Regular expression: what `clip_adaptive` leaves alone, by default
            the head; None for nothing.
        centralize: Whether every unit's gradient gets the mean zero (Yong et al. 2020).
        lookahead: Updates after which slow weights catch up (Zhang et al. 2019).
        lookahead_alpha: How far they do, in (0, 1].
        rules: Pairs of a regular expression and what the parameters it names are
            trained with: a multiplier of the learning rate, a schedule of their own, or
            None to freeze them. The first match wins.
        freeze: Regular expression: the parameters that do not change and for which no
            state is kept. Batch statistics are no parameters and still move.
        wake: Pairs of a regular expression and the update from which on the parameters
            that it names are trained: gradual unfreezing, a function of the step. Until
            then nothing of them moves, and their state is that of a first update; the
            schedule is that of the whole run. The first match wins.
        rate_factor: Whether the state holds a factor of all learning rates, which
            `set_rate_factor` changes (reduce on plateau).
        **options: Of the optimizer of that name, see the table.

    Returns:
        An Optax transformation whose state is arrays alone. Its `init` raises
        ValueError if a regular expression given here matches no parameter, or all of
        them are frozen.

    Raises:
        ValueError: if the name or an option is unknown, or a value is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"conv1": {"kernel": jnp.array([1.0]), "bias": jnp.array([1.0])}}
        >>> tx = make_optimizer("sgd", 0.1, weight_decay=0.5)
        >>> updates, _ = tx.update(params, tx.init(params), params)  # g = p = 1
        >>> print(updates["conv1"]["kernel"], updates["conv1"]["bias"])
        [-0.15] [-0.1]
        >>> tx = make_optimizer("sgd", 0.1, rules=[("bias", 0.5), ("conv1", None)])
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["conv1"]["kernel"], updates["conv1"]["bias"])
        [0.] [-0.05]

    References:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
        https://arxiv.org/abs/1711.05101. The other papers stand in docs/optimizers.md.
    """
    if not callable(learning_rate):
        check_learning_rate(learning_rate)
    check_range("weight_decay", weight_decay, low=0)
    rules = groups.check_rules(rules)
    direction = make_direction(name, Decay(weight_decay, decay_mask), **options)
    wake = check_wake(wake)

    def moves(start: int) -> list[optax.GradientTransformation]:
        rate, own = later(learning_rate, start), later_rules(rules, start)
        return [
            *([clipping.centralize()] if centralize else []),
            *direction.stages,
            groups.scale_by_rates(rate, own),
        ]

    clips = _clips(clip_adaptive, clip_skip, clip_value, clip_norm)
    stages = [
        *([silent_until_awake(wake)] if wake else []),
        *clips,
        *([in_turn(lambda k: optax.chain(*moves(k)), wake)] if wake else moves(0)),
        *([scale_by_rate_factor()] if rate_factor else []),
    ]
    tx = optax.chain(*stages)
    ahead = _lookahead_of(name, direction, lookahead, lookahead_alpha)
    if ahead is not None:
        tx = with_lookahead(tx, *ahead)
    patterns = dict(direction.patterns)
    if weight_decay:
        patterns["decay_mask"] = decay_mask
    if clip_adaptive is not None and clip_skip not in (None, clipping.HEAD):
        patterns["clip_skip"] = clip_skip
    if freeze is not None:
        patterns["freeze"] = freeze
    patterns |= {f"wake[{k}]": pattern for k, (pattern, _) in enumerate(wake)}
    compiled_patterns = {k: compiled(k, pattern) for k, pattern in patterns.items()}
    if freeze is not None or any(value is None for _, value in rules):
        tx = groups.frozen(tx, rules, freeze)
    return _checked(tx, compiled_patterns, rules, freeze)


def _clips(
    adaptive: float | None, skip: str | None, value: float | None, norm: float | None
) -> list[optax.GradientTransformation]:
    """Returns the limits of the gradient that are given."""
    stages = []
    if adaptive is not None:
        if skip is not None:
            compiled("clip_skip", skip)
        stages.append(clipping.clip_adaptive(adaptive, skip=skip))
    if value is not None:
        check_range("clip_value", value, low=0, open_low=True)
        stages.append(optax.clip(value))
    if norm is not None:
        check_range("clip_norm", norm, low=0, open_low=True)
        stages.append(optax.clip_by_global_norm(norm))
    return stages


def _lookahead_of(
    name: str, direction: Direction, k: int | None, alpha: float
) -> tuple[int, float] | None:
    if k is None:
        return direction.lookahead
    if direction.lookahead is not None:
        raise ValueError(
            f"lookahead={k}: the optimizer {name!r} has a lookahead of its own; "
            "set its options k and alpha."
        )
    return k, alpha


def _checked(
    tx: optax.GradientTransformationExtraArgs,
    patterns: Mapping[str, re.Pattern[str]],
    rules: Sequence[groups.Rule],
    freeze: str | None,
) -> optax.GradientTransformationExtraArgs:
    """Returns `tx` with an `init` that refuses patterns which match nothing."""

    def init(params: PyTree) -> PyTree:
        names = list(tree.flatten_named(params))
        for argument, pattern in patterns.items():
            if not any(pattern.search(name) for name in names):
                raise ValueError(
                    f"{argument}={pattern.pattern!r} matches none of the parameters: "
                    f"{', '.join(names)}."
                )
        groups.check_reach(rules, freeze, names)
        return tx.init(params)

    return optax.GradientTransformationExtraArgs(init, tx.update)
