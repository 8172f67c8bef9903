"""The calls of a model's modules, found by tracing: shapes, multiply-adds, memory."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from jaxcnn.arithmetic import conv_macs, dense_macs
from jaxcnn.layers.locally_connected import LocallyConnected
from jaxcnn.models.receptive_field import ReceptiveFields, receptive_fields
from jaxcnn.tree import flatten_named
from jaxcnn.typing import PyTree

#: Counted as one operation on each position, as everybody does who speaks of receptive
#: fields, though some of them average over the whole image.
_NORMS = (nn.BatchNorm, nn.GroupNorm, nn.InstanceNorm, nn.LayerNorm, nn.RMSNorm)

#: In Linen's own a kernel size of one number means one axis; here it means all.
_LINEN_CONVS = (nn.Conv, nn.ConvLocal, nn.ConvTranspose)

Path = tuple[str, ...]


@dataclasses.dataclass
class Call:
    """One call of a module.

    Attributes:
        module: The module, bound while it was called.
        path: Where it is in the model.
        tag: The name that its output has in the traced computation, for
            `ReceptiveFields.named`.
        kernel_shape: Shape of its own parameter `kernel`, if it has one.
        input_shape: Shape of its first argument.
        output_shape: Shape of its (first) output.
        memory: Bytes of all that it returns.
    """

    module: nn.Module
    path: Path
    tag: str
    kernel_shape: tuple[int, ...] | None = None
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    memory: int = 0

    @functools.cached_property
    def kernel(self) -> tuple[int, ...] | None:
        """The kernel of a convolution or window of a pooling, one number an axis."""
        return self._sizes("kernel_size", "window_shape", "window")

    @functools.cached_property
    def stride(self) -> tuple[int, ...] | None:
        """The stride, one number an axis; Linen leaves out what is 1."""
        if self.kernel is None:
            return None
        stride = self._sizes("strides", "stride") or (1,)
        return stride * len(self.kernel) if len(stride) == 1 else stride

    @functools.cached_property
    def macs(self) -> int:
        """Multiply-adds on the whole batch, of a convolution or a dense layer."""
        module = self.module
        if isinstance(module, nn.Dense | nn.DenseGeneral):
            features = module.features
            outputs = math.prod([features] if isinstance(features, int) else features)
            return dense_macs(math.prod(self.input_shape), outputs)
        if self.kind != "convolution":
            return 0
        *_, inputs, features = self.kernel_shape
        if isinstance(module, LocallyConnected):  # uses every weight once
            return math.prod(self.kernel_shape) * self.input_shape[0]
        if isinstance(module, nn.ConvLocal):  # its kernel has the taps in one axis
            return inputs * features * math.prod(self.output_shape[:-1])
        transposed = "Transpose" in type(module).__name__
        positions = (self.input_shape if transposed else self.output_shape)[:-1]
        each = conv_macs(
            inputs, features, self.kernel, positions=(1,) * len(self.kernel)
        )
        return each * math.prod(positions)

    @functools.cached_property
    def kind(self) -> str:
        """`"convolution"`, `"dense"`, `"norm"` or `"other"`."""
        module = self.module
        if isinstance(module, nn.Dense | nn.DenseGeneral):
            return "dense"
        if self.kernel and self.kernel_shape and len(self.kernel_shape) > 2:
            return "convolution"
        named = type(module).__name__.endswith("Norm")
        return "norm" if isinstance(module, _NORMS) or named else "other"

    def _sizes(self, *names: str) -> tuple[int, ...] | None:
        """Returns the first of the attributes that holds an integer or several."""
        for name in names:
            value = getattr(self.module, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                linen = isinstance(self.module, _LINEN_CONVS)
                return (value,) * (1 if linen else max(1, len(self.input_shape) - 2))
            if isinstance(value, tuple) and all(isinstance(n, int) for n in value):
                return value
        return None


def trace_calls(
    model: nn.Module,
    input_shape: Sequence[int],
    dtype: Any,
    kwargs: dict[str, Any],
) -> tuple[list[Call], ReceptiveFields, dict[Path, jax.ShapeDtypeStruct]]:
    """Returns the calls of all modules in order, receptive fields, and parameters.

    Args:
        model: Any Linen module.
        input_shape: Shape of its input.
        dtype: Type of its input.
        kwargs: Given to the call.
    """
    image = jax.ShapeDtypeStruct(tuple(input_shape), dtype)
    rngs = jax.eval_shape(
        lambda: {name: jax.random.key(0) for name in ("params", "dropout")}
    )
    variables = jax.eval_shape(
        lambda rngs, image: model.init(rngs, image, **kwargs), rngs, image
    )
    named = flatten_named(variables.get("params", {}))
    params = {tuple(name.split("/")): leaf for name, leaf in named.items()}
    calls: list[Call] = []
    record = functools.partial(_record, calls, params)

    def forward(variables: PyTree, rngs: PyTree, image: jax.Array) -> Any:
        with nn.intercept_methods(record):
            return model.apply(
                variables, image, rngs=rngs, mutable=list(variables), **kwargs
            )

    jaxpr = jax.make_jaxpr(forward)(variables, rngs, image)
    fields = receptive_fields(jaxpr, image=len(jaxpr.jaxpr.invars) - 1)
    there = _names_in(jaxpr.jaxpr)
    used = [call for call in calls if call.tag in there or not call.output_shape]
    return used, fields, params


def _names_in(jaxpr: core.Jaxpr) -> set[str]:
    """Returns the names in a computation and in those that it calls.

    Lifted modules may be traced more than once, and only one of the traces used.
    """
    names = {e.params["name"] for e in jaxpr.eqns if e.primitive.name == "name"}
    return names.union(*map(_names_in, core.subjaxprs(jaxpr)))


def _record(
    calls: list[Call],
    params: dict[Path, jax.ShapeDtypeStruct],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    """Calls a method of a module; a call of the module is kept, its output tagged."""
    if context.method_name != "__call__":
        return function(*args, **keywords)
    module = context.module
    call = Call(module, module.path, tag=f"jaxcnn/layer/{len(calls)}")
    calls.append(call)
    arrays = jax.tree.leaves((args, keywords))
    call.input_shape = getattr(arrays[0], "shape", ()) if arrays else ()
    kernel = params.get((*module.path, "kernel"))
    call.kernel_shape = kernel and kernel.shape
    if isinstance(module, _NORMS):
        x = arrays[0]
        outputs = x.astype(module.dtype or jnp.result_type(x, module.param_dtype))
    else:
        outputs = function(*args, **keywords)
    leaves = [x for x in jax.tree.leaves(outputs) if hasattr(x, "shape")]
    call.output_shape = leaves[0].shape if leaves else ()
    call.memory = sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
    return jax.tree.map(
        lambda x: checkpoint_name(x, call.tag) if isinstance(x, jax.Array) else x,
        outputs,
    )
