"""Adam's scaling and its kin, with their numbers checked."""

import optax

from jaxcnn.optim.ranges import check_range


def scale_by_adam(
    b1: float, b2: float, eps: float, *, nesterov: bool = False
) -> optax.GradientTransformation:
    """Returns `optax.scale_by_adam`.

    Raises:
        ValueError: if a number is out of range.
    """
    check_moments(b1, b2, eps)
    return optax.scale_by_adam(b1=b1, b2=b2, eps=eps, nesterov=nesterov)


def scale_by_radam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Returns `optax.scale_by_radam`.

    Raises:
        ValueError: if a number is out of range.
    """
    check_moments(b1, b2, eps)
    return optax.scale_by_radam(b1=b1, b2=b2, eps=eps)


def check_moments(b1: float, b2: float, eps: float) -> None:
    """Raises unless the decay rates are in [0, 1) and `eps` is not negative.

    Raises:
        ValueError: naming the argument, the value and the range.
    """
    check_range("b1", b1, low=0, high=1)
    check_range("b2", b2, low=0, high=1)
    check_range("eps", eps, low=0)
