"""Optimizers by name: one chain of clipping, weight decay, direction and rate."""

import re
from types import MappingProxyType
from typing import Any

import optax

from jaxcnn import tree
from jaxcnn.named import call_named
from jaxcnn.optim.schedules import Schedule, check_learning_rate
from jaxcnn.typing import PyTree

_DECOUPLED = frozenset({"adamw"})


def make_optimizer(
    name: str,
    learning_rate: float | Schedule,
    *,
    weight_decay: float = 0.0,
    decay_mask: str = r"(^|/)kernel$",
    clip_norm: float | None = None,
    freeze: str | None = None,
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    r"""Returns an Optax optimizer.

    | name | direction :math:`d` of gradient :math:`g` | options |
    |---|---|---|
    | `sgd` | :math:`g`; as `momentum` if any is given | `momentum=0.0` |
    | `momentum` | :math:`v = \mu v + g`, :math:`d = v` | `momentum=0.9` |
    | `nesterov` | :math:`v = \mu v + g`, :math:`d = \mu v + g` | `momentum=0.9` |
    | `rmsprop` | :math:`g/\sqrt{E[g^2]+\epsilon}` | `decay_rate`, `eps`, `momentum` |
    | `adam`, `adamw` | :math:`\hat m/(\sqrt{\hat v}+\epsilon)` | `b1`, `b2`, `eps` |

    Defaults: `decay_rate=0.9`, `eps=1e-8`, `b1=0.9`, `b2=0.999`; `rmsprop` has no
    momentum unless it is given. Momentum is PyTorch's: the rate multiplies the
    velocity. Weight decay :math:`\lambda` is *coupled* everywhere but in `adamw`: it is
    the gradient of an L2 penalty :math:`\lambda \lVert p \rVert^2 / 2`, added to the
    (clipped) gradient before the direction is taken, as in PyTorch. In `adamw` it is
    *decoupled*: :math:`p` shrinks by :math:`\eta \lambda p` beside the direction
    (Loshchilov and Hutter 2019). The two differ for every adaptive direction, so a
    :math:`\lambda` found for one does not suit the other. `adamw` without
    `weight_decay` is `adam`.

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
        freeze: Regular expression: the parameters that do not change and for which no
            state is kept. Batch statistics are no parameters and still move.
        **options: Of the optimizer of that name, see the table.

    Returns:
        An Optax transformation whose state is arrays alone. Its `init` raises
        ValueError if `decay_mask` or `freeze` matches no parameter, or `freeze` all of
        them.

    Raises:
        ValueError: if the name or an option is unknown, or a value is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"conv1": {"kernel": jnp.array([1.0]), "bias": jnp.array([1.0])}}
        >>> tx = make_optimizer("sgd", 0.1, weight_decay=0.5)
        >>> updates, _ = tx.update(params, tx.init(params), params)  # g = p = 1
        >>> print(updates["conv1"]["kernel"], updates["conv1"]["bias"])
        [-0.15] [-0.1]

    References:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
        https://arxiv.org/abs/1711.05101.
    """
    if not callable(learning_rate):
        check_learning_rate(learning_rate)
    _check_range("weight_decay", weight_decay, low=0)
    direction = [call_named("optimizer", _DIRECTIONS, name, **options)]
    patterns = {}
    if weight_decay:
        patterns["decay_mask"] = _compiled("decay_mask", decay_mask)
        shrink = _shrink(weight_decay, decay_mask)
        direction.insert(1 if name in _DECOUPLED else 0, shrink)
    if clip_norm is not None:
        _check_range("clip_norm", clip_norm, low=0, open_low=True)
        direction.insert(0, optax.clip_by_global_norm(clip_norm))
    tx = optax.chain(*direction, optax.scale_by_learning_rate(learning_rate))
    if freeze is not None:
        patterns["freeze"] = _compiled("freeze", freeze)
        tx = _frozen(tx, freeze)
    return _checked(tx, patterns)


def _shrink(weight_decay: float, pattern: str) -> optax.GradientTransformation:
    """Returns the decay of the parameters whose names match."""
    return optax.add_decayed_weights(
        weight_decay, mask=lambda params: tree.mask(params, pattern)
    )


def list_optimizers() -> list[str]:
    """Returns the names that `make_optimizer` knows."""
    return sorted(_DIRECTIONS)


def _sgd(*, momentum: float = 0.0) -> optax.GradientTransformation:
    _check_range("momentum", momentum, low=0, high=1)
    return optax.trace(momentum) if momentum else optax.identity()


def _momentum(*, momentum: float = 0.9) -> optax.GradientTransformation:
    _check_range("momentum", momentum, low=0, high=1)
    return optax.trace(momentum)


def _nesterov(*, momentum: float = 0.9) -> optax.GradientTransformation:
    _check_range("momentum", momentum, low=0, high=1)
    return optax.trace(momentum, nesterov=True)


def _rmsprop(
    *, decay_rate: float = 0.9, eps: float = 1e-8, momentum: float = 0.0
) -> optax.GradientTransformation:
    _check_range("decay_rate", decay_rate, low=0, high=1)
    _check_range("eps", eps, low=0)
    scale = optax.scale_by_rms(decay=decay_rate, eps=eps)
    return optax.chain(scale, _sgd(momentum=momentum)) if momentum else scale


def _adam(
    *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    _check_range("b1", b1, low=0, high=1)
    _check_range("b2", b2, low=0, high=1)
    _check_range("eps", eps, low=0)
    return optax.scale_by_adam(b1=b1, b2=b2, eps=eps)


_DIRECTIONS = MappingProxyType(
    {
        "sgd": _sgd,
        "momentum": _momentum,
        "nesterov": _nesterov,
        "rmsprop": _rmsprop,
        "adam": _adam,
        "adamw": _adam,
    }
)


def _frozen(tx: optax.GradientTransformation, freeze: str) -> Any:
    """Returns `tx` for what `freeze` does not match; the rest does not move."""

    def labels(params: PyTree) -> PyTree:
        return tree.map_named(
            lambda name, _: "frozen" if re.search(freeze, name) else "trained", params
        )

    return optax.partition({"trained": tx, "frozen": optax.set_to_zero()}, labels)


def _checked(
    tx: optax.GradientTransformationExtraArgs, patterns: dict[str, re.Pattern[str]]
) -> optax.GradientTransformationExtraArgs:
    """Returns `tx` with an `init` that refuses patterns which match nothing."""

    def init(params: PyTree) -> PyTree:
        names = list(tree.flatten_named(params))
        for argument, pattern in patterns.items():
            matched = [name for name in names if pattern.search(name)]
            if not matched:
                raise ValueError(
                    f"{argument}={pattern.pattern!r} matches none of the parameters: "
                    f"{', '.join(names)}."
                )
            if argument == "freeze" and len(matched) == len(names):
                raise ValueError(
                    f"freeze={pattern.pattern!r} matches every parameter: nothing is "
                    "left to train."
                )
        return tx.init(params)

    return optax.GradientTransformationExtraArgs(init, tx.update)


def _compiled(argument: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{argument}={pattern!r} is not a regular expression: {error}."
        ) from error


def _check_range(
    argument: str,
    value: float,
    *,
    low: float,
    high: float = float("inf"),
    open_low: bool = False,
) -> None:
    """Raises ValueError if `value` is not in [low, high), or (low, high)."""
    if not low <= value < high or (open_low and value == low):
        bounds = f"{'>' if open_low else '>='} {low}"
        bounds += f" and < {high}" if high < float("inf") else ""
        raise ValueError(f"{argument}={value} must be {bounds}.")
