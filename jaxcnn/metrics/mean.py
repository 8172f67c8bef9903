"""The weighted mean as a pytree of its total and its count."""

import flax.struct
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxcnn.typing import Array


@flax.struct.dataclass
class Mean:
    """A mean that can be merged: the sum of `value * mask` and the sum of `mask`.

    Two halves of a data set merge to the mean of the whole however unequal the halves
    are, which the mean of two means does not. It is a pytree of two float32 scalars, so
    it passes through `jax.jit`, `jax.lax.psum` (the merge over devices) and
    `jax.tree.map`. Counts are exact up to 2**24 = 16,777,216 examples.

    Attributes:
        total: Sum of the values that count, float32.
        count: Sum of the mask, float32: the number of examples if the mask is 0 or 1.

    Example:
        >>> first = Mean.of(jnp.array([1.0, 3.0, 99.0]), jnp.array([1.0, 1.0, 0.0]))
        >>> second = Mean.of(jnp.array([8.0]))
        >>> print((first + second).compute())  # (1 + 3 + 8) / 3
        4.0
    """

    total: Array
    count: Array

    @classmethod
    def empty(cls) -> "Mean":
        """Returns the mean of nothing, which changes nothing that it is merged with."""
        return cls(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.float32))

    @classmethod
    def of(cls, values: ArrayLike, mask: ArrayLike | None = None) -> "Mean":
        """Returns the mean of `values` under `mask`.

        Args:
            values: One value for every example, `[batch]`.
            mask: Weight of every example, `[batch]`, 0 on padding. None weighs all 1.
                A value under weight 0 is ignored even if it is not finite.

        Raises:
            ValueError: if `values` and `mask` differ in shape.
        """
        values = jnp.asarray(values, jnp.float32)
        weights = jnp.ones_like(values)
        if mask is not None:
            weights = jnp.asarray(mask, jnp.float32)
        if values.shape != weights.shape:
            raise ValueError(
                f"values {values.shape} and mask {weights.shape} differ in shape: a "
                "metric has one value and one weight for every example."
            )
        counted = jnp.where(weights == 0, 0.0, values) * weights
        return cls(total=counted.sum(), count=weights.sum())

    def merge(self, other: "Mean") -> "Mean":
        """Returns the mean over the examples of both."""
        return Mean(total=self.total + other.total, count=self.count + other.count)

    def __add__(self, other: "Mean") -> "Mean":
        return self.merge(other) if isinstance(other, Mean) else NotImplemented

    def compute(self) -> Array:
        """Returns `total / count`, float32; `nan` if nothing was counted."""
        return jnp.true_divide(self.total, self.count)
