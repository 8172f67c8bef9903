"""What the name of an optimizer decides, and the weight decay that it places."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import optax

from jaxcnn import tree
from jaxcnn.typing import PyTree

#: Kernels alone: neither biases nor the scales of norms.
KERNELS = r"(^|/)kernel$"


class Decay(NamedTuple):
    """How much the parameters shrink, and which.

    Attributes:
        weight: The factor, 0 for none.
        pattern: Regular expression, searched for in names such as `"conv1/kernel"`.
    """

    weight: float = 0.0
    pattern: str = KERNELS

    def mask(self, params: PyTree) -> PyTree:
        """Returns a tree of booleans: which parameters decay."""
        return tree.mask(params, self.pattern)

    def stages(self) -> list[optax.GradientTransformation]:
        """Returns what adds the decayed weights: nothing, or one transformation."""
        if not self.weight:
            return []
        return [optax.add_decayed_weights(self.weight, mask=self.mask)]


class Direction(NamedTuple):
    """The parts of an optimizer that its name decides.

    Attributes:
        stages: From the clipped gradient to the direction, weight decay included.
        lookahead: `(k, alpha)` where the name includes Lookahead.
        patterns: Regular expressions among the options, by argument: each must match.
    """

    stages: list[optax.GradientTransformation]
    lookahead: tuple[int, float] | None = None
    patterns: Mapping[str, str] = MappingProxyType({})
