"""What each optimizer's name stands for: from the gradient to the learning rate."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import optax

from jaxcnn.named import call_named
from jaxcnn.optim.clipping import centralize
from jaxcnn.optim.direction import KERNELS, Decay, Direction
from jaxcnn.optim.moments import scale_by_adam, scale_by_radam
from jaxcnn.optim.muon import muon
from jaxcnn.optim.ranger21 import ranger21
from jaxcnn.optim.ranges import check_range, compiled
from jaxcnn.tree import mask


def make_direction(name: str, decay: Decay, **options: Any) -> Direction:
    """Returns the parts of the optimizer of that name.

    Raises:
        ValueError: if the name or an option is unknown, or a value is out of range.
    """
    return call_named("optimizer", _DIRECTIONS, name, decay, **options)


def list_optimizers() -> list[str]:
    """Returns the names that `make_optimizer` knows."""
    return sorted(_DIRECTIONS)


def _sgd(decay: Decay, *, momentum: float = 0.0) -> Direction:
    return Direction([*decay.stages(), _trace(momentum)])


def _momentum(decay: Decay, *, momentum: float = 0.9) -> Direction:
    check_range("momentum", momentum, low=0, high=1)
    return Direction([*decay.stages(), optax.trace(momentum)])


def _nesterov(decay: Decay, *, momentum: float = 0.9) -> Direction:
    check_range("momentum", momentum, low=0, high=1)
    return Direction([*decay.stages(), optax.trace(momentum, nesterov=True)])


def _adagrad(decay: Decay, *, initial: float = 0.0, eps: float = 1e-10) -> Direction:
    check_range("initial", initial, low=0)
    check_range("eps", eps, low=0)
    return Direction([*decay.stages(), optax.scale_by_rss(initial, eps)])


def _adadelta(decay: Decay, *, rho: float = 0.9, eps: float = 1e-6) -> Direction:
    check_range("rho", rho, low=0, high=1)
    check_range("eps", eps, low=0, open_low=True)
    return Direction([*decay.stages(), optax.scale_by_adadelta(rho, eps)])


def _rmsprop(
    decay: Decay,
    *,
    decay_rate: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Direction:
    check_range("decay_rate", decay_rate, low=0, high=1)
    check_range("eps", eps, low=0)
    scale = optax.scale_by_rms(
        decay=decay_rate,
        eps=eps,
        eps_in_sqrt=eps_in_sqrt,
        bias_correction=bias_correction,
    )
    if momentum:
        scale = optax.chain(scale, _trace(momentum))
    return Direction([*decay.stages(), scale])


def _adam(
    decay: Decay, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Direction:
    return Direction([*decay.stages(), scale_by_adam(b1, b2, eps)])


def _adamw(
    decay: Decay, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Direction:
    return Direction([scale_by_adam(b1, b2, eps), *decay.stages()])


def _nadam(
    decay: Decay, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Direction:
    return Direction([*decay.stages(), scale_by_adam(b1, b2, eps, nesterov=True)])


def _radam(
    decay: Decay, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Direction:
    return Direction([*decay.stages(), scale_by_radam(b1, b2, eps)])


def _lars(
    decay: Decay,
    *,
    momentum: float = 0.9,
    trust: float = 0.001,
    eps: float = 0.0,
    kernels: str = KERNELS,
) -> Direction:
    check_range("trust", trust, low=0, open_low=True)
    ratio = optax.scale_by_trust_ratio(trust_coefficient=trust, eps=eps)
    stages = [*decay.stages(), _on(kernels, ratio), _trace(momentum)]
    return Direction(stages, patterns=_given("kernels", kernels, KERNELS))


def _lamb(
    decay: Decay,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    kernels: str = KERNELS,
) -> Direction:
    ratio = _on(kernels, optax.scale_by_trust_ratio())
    stages = [scale_by_adam(b1, b2, eps), *decay.stages(), ratio]
    return Direction(stages, patterns=_given("kernels", kernels, KERNELS))


def _lion(decay: Decay, *, b1: float = 0.9, b2: float = 0.99) -> Direction:
    check_range("b1", b1, low=0, high=1)
    check_range("b2", b2, low=0, high=1)
    return Direction([optax.scale_by_lion(b1, b2), *decay.stages()])


def _lookahead(
    decay: Decay,
    *,
    inner: str = "momentum",
    inner_options: Mapping[str, Any] = MappingProxyType({}),
    k: int = 5,
    alpha: float = 0.5,
) -> Direction:
    direction = make_direction(inner, decay, **inner_options)
    if direction.lookahead is not None:
        raise ValueError(f"inner={inner!r} includes a lookahead of its own.")
    return direction._replace(lookahead=(k, alpha))


def _ranger(
    decay: Decay,
    *,
    b1: float = 0.95,
    b2: float = 0.999,
    eps: float = 1e-5,
    k: int = 6,
    alpha: float = 0.5,
    centralized: bool = True,
) -> Direction:
    stages = [centralize()] if centralized else []
    stages += [scale_by_radam(b1, b2, eps), *decay.stages()]
    return Direction(stages, lookahead=(k, alpha))


def _trace(momentum: float) -> optax.GradientTransformation:
    check_range("momentum", momentum, low=0, high=1)
    return optax.trace(momentum) if momentum else optax.identity()


def _on(pattern: str, tx: optax.GradientTransformation) -> Any:
    """Returns `tx` for the parameters that the pattern names; the rest passes."""
    compiled("kernels", pattern)
    return optax.masked(tx, lambda params: mask(params, pattern))


def _given(argument: str, pattern: str, default: str) -> dict[str, str]:
    """Returns what has to match: patterns that the user gave."""
    return {} if pattern == default else {argument: pattern}


_DIRECTIONS = MappingProxyType(
    {
        "adadelta": _adadelta,
        "adagrad": _adagrad,
        "adam": _adam,
        "adamw": _adamw,
        "lamb": _lamb,
        "lars": _lars,
        "lion": _lion,
        "lookahead": _lookahead,
        "momentum": _momentum,
        "muon": muon,
        "nadam": _nadam,
        "nesterov": _nesterov,
        "radam": _radam,
        "ranger": _ranger,
        "ranger21": ranger21,
        "rmsprop": _rmsprop,
        "sgd": _sgd,
    }
)
