"""Integrated gradients: what each pixel adds on the way from a baseline."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike

from jaxcnn.interpret.batches import copies_within, is_traced, sum_points
from jaxcnn.interpret.saliency import gradient
from jaxcnn.interpret.scores import Target, make_score, prepare
from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.typing import Array, PyTree

_RULES = ("gauss_legendre", "trapezoid")


class IntegratedGradients(NamedTuple):
    """What `integrated_gradients` returns.

    Attributes:
        attributions: `[batch, ..., channels]`, signed.
        gap: What completeness lacks, `[batch]`: the sum of an image's attributions,
            less its score, plus that of the baseline. 0 up to the error of the steps.
        change: The score of the image less that of the baseline, `[batch]`: what the
            gap is to be compared with.
    """

    attributions: Array
    gap: Array
    change: Array


def integrated_gradients(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    baseline: ArrayLike = 0.0,
    steps: int = 50,
    rule: str = "gauss_legendre",
    batch_size: int = 64,
    preprocess: Callable[[Array], Array] | None = None,
) -> IntegratedGradients:
    r"""Returns the gradient integrated on the line from a baseline to the image.

    .. math:: (x - b) \int_0^1 \nabla f(b + \alpha (x - b)) \, d\alpha .

    The attributions of an image sum to `f(image) - f(baseline)` (completeness); what
    they miss by is returned, and falls with more steps.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`; without one the class that the image itself is
            given.
        baseline: Where the line starts, as the model gets it (behind the
            preprocessing): a number, or an array that broadcasts to the images. 0 is
            the mean colour for a model whose preprocessing subtracts it, else black.
        steps: Points at which the gradient is taken.
        rule: `"gauss_legendre"`, exact for polynomials of degree `2 steps - 1`; or
            `"trapezoid"`, with both ends, at least 2 steps.
        batch_size: Images that the model gets at a time.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: if the rule is unknown, there are too few steps, the baseline does
            not fit, or as `input_gradient`.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> images = jnp.ones((1, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> found = integrated_gradients(model, variables, images, steps=20)
        >>> bool(jnp.abs(found.gap)[0] < 1e-2)
        True

    References:
        Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML
        2017, section 3, https://arxiv.org/abs/1703.01365.
    """
    check_choice("rule", rule, _RULES)
    check_number("steps", steps, 1 + (rule == "trapezoid"))
    images = prepare(images, preprocess)
    start = baseline_like(images, baseline)
    score = make_score(model, variables, target, images)
    points, weights = (jnp.asarray(x, images.dtype) for x in _quadrature(rule, steps))

    def at(point: Array) -> Array:
        return gradient(score, start + point * (images - start))

    copies = copies_within(batch_size, len(images))
    traced = is_traced(variables, images)
    mean = sum_points(at, points, weights, copies, traced=traced)
    found = (images - start) * mean
    change = score(images) - score(start)
    gap = found.sum(axis=tuple(range(1, found.ndim))) - change
    return IntegratedGradients(found, gap, change)


def baseline_like(images: Array, baseline: ArrayLike) -> Array:
    """Returns a baseline of the images' shape and type.

    Raises:
        ValueError: if it does not broadcast to them.
    """
    baseline = jnp.asarray(baseline, images.dtype)
    try:
        np.broadcast_shapes(baseline.shape, images.shape)
        return jnp.broadcast_to(baseline, images.shape)
    except ValueError:
        raise ValueError(
            f"baseline {list(baseline.shape)} does not fit images "
            f"{list(images.shape)}: give a number or an array that broadcasts to them."
        ) from None


def _quadrature(rule: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points in [0, 1] and their weights, which sum to 1."""
    if rule == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return (points + 1) / 2, weights / 2
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights
