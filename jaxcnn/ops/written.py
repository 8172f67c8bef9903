"""A line that XLA's fusion does not cross on a CPU."""

import functools

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxcnn.typing import Array


def written(x: Array) -> Array:
    """Returns `x`, which on a CPU is then in memory before anything reads it.

    XLA fuses what is elementwise, padded, cut or repeated into all that reads it, and
    computes it there again for each value that is read: a pool's winner four times, a
    norm's gradient in every tap of a kernel's. `jax.lax.optimization_barrier` is gone
    before it does. A call that must not be inlined is not.

    Other platforms see no difference; nor do derivatives, of any order and mode.
    """
    return _written.bind(x)


# A primitive, not `jax.lax.platform_dependent`: a step has hundreds of these lines, and
# two branches to trace and to differentiate for each took half the time of tracing.
_written = Primitive("written")
_written.def_impl(lambda x: x)
_written.def_abstract_eval(lambda x: x)
ad.deflinear2(_written, lambda cotangent, _: [written(cotangent)])
batching.defvectorized(_written)


def _apart(x: Array) -> Array:
    with set_xla_metadata(inlineable="false"):
        return _same(x)


@functools.partial(jax.jit, inline=False)
def _same(x: Array) -> Array:
    # JAX drops a function that gives back what it gets.
    return jax.lax.optimization_barrier(x)


mlir.register_lowering(_written, lambda _, x: [x])
mlir.register_lowering(
    _written, mlir.lower_fun(_apart, multiple_results=False), platform="cpu"
)
