"""Whether trees of arrays are finite, as a scalar inside a compiled step."""

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array, PyTree


def all_finite(tree: PyTree) -> Array:
    """Returns whether no floating-point leaf holds an infinity or NaN."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def stays_finite(before: PyTree, after: PyTree) -> Array:
    """Returns whether what was finite still is.

    An optimizer may start with infinity (`reduce_on_plateau`'s best value). One that
    overflows can leave the parameters finite: under Adam they stand still for ever.
    """
    kept = [
        jnp.all(jnp.isfinite(new) | ~jnp.isfinite(old))
        for old, new in zip(
            jax.tree.leaves(before), jax.tree.leaves(after), strict=True
        )
        if jnp.issubdtype(new.dtype, jnp.inexact)
    ]
    return jnp.all(jnp.array(kept, bool))
