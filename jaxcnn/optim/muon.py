"""Muon: kernels move along the orthogonalised momentum, the rest by AdamW."""

import math

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from jaxcnn import tree
from jaxcnn.optim.direction import Decay, Direction
from jaxcnn.optim.moments import scale_by_adam
from jaxcnn.optim.ranges import check_range, compiled
from jaxcnn.typing import Array, PyTree

#: Kernels but those of the head, which its authors leave to AdamW.
HIDDEN_KERNELS = r"^(?!(.*/)?head/).*\bkernel$"


def muon(
    decay: Decay,
    *,
    beta: float = 0.95,
    ns_steps: int = 5,
    nesterov: bool = True,
    consistent_rms: float | None = 0.2,
    kernels: str = HIDDEN_KERNELS,
    adam_rate: float = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Direction:
    r"""Returns Muon's direction for kernels `[..., in, out]`, and AdamW's for the rest.

    The momentum of a kernel, reshaped to the matrix of its inputs (all axes but the
    last) by its outputs, is replaced by one with about the same singular vectors and
    singular values near 1.

    Args:
        decay: Decoupled weight decay.
        beta: Decay of the momentum.
        ns_steps: Newton-Schulz iterations.
        nesterov: Whether the momentum looks ahead.
        consistent_rms: Scales an update of :math:`m \times n` by this times
            :math:`\sqrt{\max(m, n)}`, so that its root mean square is this: with 0.2
            about that of AdamW, so that one learning rate suits both (Liu et al.,
            section 2.2). None for Jordan's own :math:`\sqrt{\max(1, n / m)}`.
        kernels: Regular expression: what Muon moves, if it has two axes or more.
        adam_rate: The rest's learning rate over that of the kernels.
        b1: Of AdamW, as `b2` and `eps`.
        b2: See `b1`.
        eps: See `b1`.

    Raises:
        ValueError: if a number is out of range or `kernels` no regular expression.

    References:
        Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
        https://kellerjordan.github.io/posts/muon/.
        Liu et al., "Muon is Scalable for LLM Training", 2025,
        https://arxiv.org/abs/2502.16982.
    """
    check_range("beta", beta, low=0, high=1)
    check_range("ns_steps", ns_steps, low=1)
    check_range("adam_rate", adam_rate, low=0, open_low=True)
    compiled("kernels", kernels)
    orthogonal = optax.contrib.scale_by_muon(
        ns_steps=ns_steps,
        beta=beta,
        nesterov=nesterov,
        weight_dimension_numbers=_dimensions,
    )
    transformations = {
        "muon": optax.chain(orthogonal, _scale_by_shape(consistent_rms)),
        "adam": optax.chain(scale_by_adam(b1, b2, eps), optax.scale(adam_rate)),
    }

    def labels(params: PyTree) -> PyTree:
        named = tree.mask(params, kernels)
        return jax.tree.map(
            lambda hit, p: "muon" if hit and p.ndim >= 2 else "adam", named, params
        )

    stages = [optax.partition(transformations, labels), *decay.stages()]
    # Always checked: where no kernel is found, it would be another word for adamw.
    return Direction(stages, patterns={"kernels": kernels})


def _dimensions(params: PyTree) -> PyTree:
    return jax.tree.map(
        lambda p: MuonDimensionNumbers(tuple(range(p.ndim - 1)), p.ndim - 1), params
    )


def _scale_by_shape(consistent_rms: float | None) -> optax.GradientTransformation:
    """Returns the scaling of an orthogonal matrix that its shape asks for."""

    def scale(update: Array) -> Array:
        fan_in, fan_out = math.prod(update.shape[:-1]), update.shape[-1]
        if consistent_rms is None:
            return update * math.sqrt(max(1.0, fan_out / fan_in))
        return update * (consistent_rms * math.sqrt(max(fan_in, fan_out)))

    return optax.stateless(lambda updates, _: jax.tree.map(scale, updates))
