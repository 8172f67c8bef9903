"""A line that XLA's fusion does not cross on a CPU."""

import functools

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from jaxcnn.typing import Array


def written(x: Array) -> Array:
    """Returns `x`, which on a CPU is then in memory before anything reads it.

    XLA fuses what is elementwise, padded, cut or repeated into all that reads it, and
    computes it there again for each value that is read: a pool's winner four times, a
    norm's gradient in every tap of a kernel's. `jax.lax.optimization_barrier` is gone
    before it does. A call that must not be inlined is not.

    Other platforms see no difference; nor do derivatives, of any order and mode.
    """
    return jax.lax.platform_dependent(x, cpu=_apart, default=lambda x: x)


def _apart(x: Array) -> Array:
    with set_xla_metadata(inlineable="false"):
        return _same(x)


@functools.partial(jax.jit, inline=False)
def _same(x: Array) -> Array:
    # JAX drops a function that gives back what it gets.
    return jax.lax.optimization_barrier(x)
