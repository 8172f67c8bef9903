"""Penalties of parameters, beside the loss: L1, L2 and the elastic net, by path."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxcnn.tree import flatten_named, nearest
from jaxcnn.typing import Array, PyTree

#: The parameters that are penalised by default: neither biases nor scales of norms.
KERNELS = r"(^|/)kernel$"
_STRENGTHS = ("l1", "l2")


def make_penalty(
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    pattern: str = KERNELS,
    rules: Mapping[str, Mapping[str, float]] | None = None,
) -> Callable[[PyTree], Array]:
    r"""Returns `penalty(params)`, a scalar that training adds to the mean loss.

    Over the parameters :math:`p` whose names `pattern` matches,

    .. math:: P = \lambda_1 \sum |p| + \frac{\lambda_2}{2} \sum p^2,

    with :math:`\lambda_1` = `l1` (lasso) and :math:`\lambda_2` = `l2` (ridge); both
    together are the elastic net. An elastic net of strength :math:`a` and L1 share
    :math:`r`, as in scikit-learn, is `l1` = :math:`a r`, `l2` = :math:`a (1 - r)`.
    Every rule adds its own sum; parameters that several match are counted by each.

    The half makes :math:`\lambda_2 p` the gradient, so that `l2` is *coupled* weight
    decay: the same updates as `make_optimizer(name, weight_decay=l2)` for every name
    but `adamw`, as long as gradients are not clipped (clipping sees the penalty's
    gradient, and does not see the decay). The gradient of `l1` is
    :math:`\lambda_1 \mathrm{sign}(p)`, 0 at 0: parameters come close to 0 and cross it,
    as gradient descent sets none to exactly 0.

    Args:
        l1: :math:`\lambda_1`, 0 or more.
        l2: :math:`\lambda_2`, 0 or more.
        pattern: Regular expression, searched for in names such as `"conv1/kernel"`.
        rules: More of the same: a pattern each, with its `l1`, `l2` or both, such as
            `{"^head/": {"l2": 1e-3}}`.

    Returns:
        A pure function of the parameters to a float32 scalar, 0 or more, for
        `make_train_step(penalty=...)`, which logs it apart from the loss. It raises
        ValueError if a pattern matches no parameter.

    Raises:
        ValueError: if no strength is above 0, one is negative or not finite, or a
            pattern is not a regular expression.

    Example:
        >>> params = {"conv1": {"kernel": jnp.array([3.0, -4.0]), "bias": jnp.ones(1)}}
        >>> print(make_penalty(l1=0.1, l2=0.01)(params))  # 0.1 * 7 + 0.005 * 25
        0.825

    References:
        Tibshirani, "Regression Shrinkage and Selection via the Lasso", Journal of the
        Royal Statistical Society B 58 (1), 1996 (L1),
        https://doi.org/10.1111/j.2517-6161.1996.tb02080.x.
        Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal
        Problems", Technometrics 12 (1), 1970 (L2),
        https://doi.org/10.1080/00401706.1970.10488634.
        Zou and Hastie, "Regularization and Variable Selection via the Elastic Net",
        Journal of the Royal Statistical Society B 67 (2), 2005,
        https://doi.org/10.1111/j.1467-9868.2005.00503.x.
    """
    everything = [(pattern, {"l1": l1, "l2": l2})] if l1 or l2 else []
    everything += list((rules or {}).items())
    if not everything:
        raise ValueError("A penalty needs a strength: give l1, l2 or rules.")
    checked = [_rule(pattern, strengths) for pattern, strengths in everything]

    def penalty(params: PyTree) -> Array:
        named = flatten_named(params)
        total = jnp.zeros((), jnp.float32)
        for compiled, first, second in checked:
            for leaf in _matching(compiled, named):
                leaf = leaf.astype(jnp.float32)
                if first:
                    # The slope of jnp.abs is 1 at 0: zeros would be driven away.
                    total += first * (leaf * lax.stop_gradient(jnp.sign(leaf))).sum()
                if second:
                    total += second / 2 * jnp.square(leaf).sum()
        return total

    return penalty


def _rule(pattern: str, strengths: Any) -> tuple[re.Pattern[str], float, float]:
    """Returns the pattern compiled, and its l1 and l2."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"The penalty's pattern {pattern!r} is not a regular expression: {error}."
        ) from error
    if not isinstance(strengths, Mapping):
        raise ValueError(
            f"The penalty's rule {pattern!r} must hold 'l1', 'l2' or both by name, "
            f"got {strengths!r}."
        )
    for name, value in strengths.items():
        if name not in _STRENGTHS:
            raise ValueError(
                f"The penalty's rule {pattern!r} has no {name!r}."
                f"{nearest(name, _STRENGTHS)} Allowed: l1, l2."
            )
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise ValueError(
                f"{name} of the penalty must be a finite number of 0 or more, got "
                f"{value!r}."
            )
    first, second = strengths.get("l1", 0.0), strengths.get("l2", 0.0)
    if not first and not second:
        raise ValueError(f"The penalty's rule {pattern!r} has neither l1 nor l2.")
    return compiled, first, second


def _matching(pattern: re.Pattern[str], named: Mapping[str, Array]) -> list[Array]:
    found = [leaf for name, leaf in named.items() if pattern.search(name)]
    if not found:
        raise ValueError(
            f"The penalty's pattern {pattern.pattern!r} matches none of the "
            f"parameters: {', '.join(named)}."
        )
    return found
