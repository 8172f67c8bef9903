"""The table of a model's layers: shapes, parameters, multiply-adds, receptive fields.

Everything is found by tracing: no array is made, and any Linen module will do.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from jaxcnn.arithmetic import conv_macs, dense_macs
from jaxcnn.layers.conv import Conv, each_axis
from jaxcnn.layers.conv_transpose import ConvTranspose
from jaxcnn.layers.depthwise import DepthwiseConv
from jaxcnn.layers.locally_connected import LocallyConnected
from jaxcnn.models.receptive_field import ReceptiveFields, receptive_fields
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Dtype, PyTree

#: Counted as one operation on each position, as everybody does who speaks of receptive
#: fields, though some of them average over the whole image.
_NORMS = (nn.BatchNorm, nn.GroupNorm, nn.InstanceNorm, nn.LayerNorm, nn.RMSNorm)

_Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a summary: a layer, or a module with all that it holds.

    Attributes:
        path: Where its parameters are, such as `"stage1/block1/conv"`; `""` for the
            model itself.
        type: The class of the module.
        output_shape: Shape of its (first) output, batch included.
        kernel: Kernel of a convolution or window of a pooling module, else `None`.
        stride: Its stride, else `None`.
        params: Trainable parameters.
        macs: Multiply-adds of its convolutions and dense layers on one image, summed
            over its calls.
        receptive_field: Pixels of the image, along the longer side, that one position
            of its output sees; `None` where that is the whole image.
        calls: How often it is called: more than once if it is shared.
    """

    path: str
    type: str
    output_shape: tuple[int, ...]
    kernel: tuple[int, ...] | None
    stride: tuple[int, ...] | None
    params: int
    macs: int
    receptive_field: int | None
    calls: int = 1


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `summarize` returns; `str(summary)` is the table.

    Attributes:
        model: The class of the model.
        input_shape: `(batch, ..., channels)`.
        rows: One a layer, in the order of the first calls. Their parameters and
            multiply-adds sum to the totals.
        params: Trainable parameters (batch statistics apart).
        macs: Multiply-adds of convolutions and dense layers, nothing else, for one
            image.
        receptive_field: Pixels of the image, along the longer side, that one position
            of the deepest features sees, before they are flattened or pooled as a
            whole; the largest over branches. `None` without a spatial axis, and where
            features see the whole image and still have positions, as behind
            squeeze-and-excitation. Normalization counts as pointwise.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    params: int
    macs: int
    receptive_field: int | None

    def to_json(self) -> dict[str, Any]:
        """Returns the same as dictionaries, lists and numbers, ready for `json`."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in {
                **dataclasses.asdict(self),
                "rows": [dataclasses.asdict(row) for row in self.rows],
            }.items()
        }

    def __str__(self) -> str:
        field = self.receptive_field
        totals = [
            f"input            {_by(self.input_shape)}",
            f"parameters       {self.params:,}",
            f"multiply-adds    {self.macs:,} (one image; convolutions, dense layers)",
            "receptive field  " + (f"{field} pixels" if field else "not defined"),
        ]
        return "\n".join([self.model, "", *_table(self.rows), "", *totals])


def summarize(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    depth: int | None = None,
    dtype: Dtype = jnp.float32,
    **kwargs: Any,
) -> Summary:
    """Returns the table of a model's layers without making an array.

    Args:
        model: Any Linen module that takes an array first, registered or not.
        input_shape: `(batch, ..., channels)`, such as `(1, 224, 224, 3)`.
        depth: Modules deeper than this many names are added to the one above them;
            `None` lists every layer. A module that `nn.scan` or `nn.vmap` repeats is
            listed, and its multiply-adds counted, once.
        dtype: Type of the input.
        **kwargs: Given to the call, such as `train=False` for a module without a
            default.

    Raises:
        ValueError: if `model` is not a module, or the shape or the depth is not valid.

    Example:
        >>> summary = summarize(nn.Conv(10, (5, 5), name="conv"), (1, 28, 28, 3))
        >>> summary.params, summary.macs, summary.receptive_field
        (760, 588000, 5)
    """
    shape = tuple(input_shape)
    _check(model, shape, depth)
    image = jax.ShapeDtypeStruct(shape, dtype)
    rngs = jax.eval_shape(
        lambda: {name: jax.random.key(0) for name in ("params", "dropout")}
    )
    variables = jax.eval_shape(
        lambda rngs, image: model.init(rngs, image, **kwargs), rngs, image
    )
    calls, fields = _trace(model, variables, rngs, image, kwargs)
    params = variables.get("params", {})
    rows = _rows(calls, fields, params, depth, batch=shape[0])
    return Summary(
        model=type(model).__name__,
        input_shape=shape,
        rows=rows,
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        receptive_field=fields.largest,
    )


def _check(model: Any, shape: tuple[Any, ...], depth: int | None) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model must be a Linen module, got {model!r}; "
            "create_model(name) makes one of a registered name."
        )
    if len(shape) < 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            "input_shape must be (batch, ..., channels) in positive integers, such as "
            f"(1, 224, 224, 3), got {shape}."
        )
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be at least 1 or None, got {depth}.")


@dataclasses.dataclass
class _Call:
    """One call of a module."""

    module: nn.Module
    path: _Path
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-adds on the whole batch."""
        module = self.module
        if isinstance(module, nn.Dense | nn.DenseGeneral):
            outputs = math.prod(_tuple(module.features))
            return dense_macs(math.prod(self.input_shape), outputs)
        if isinstance(module, Conv | DepthwiseConv | ConvTranspose | LocallyConnected):
            return self._own_macs()
        if not isinstance(module, nn.Conv | nn.ConvLocal | nn.ConvTranspose):
            return 0
        transposed = isinstance(module, nn.ConvTranspose)
        return conv_macs(
            self.input_shape[-1],
            module.features,
            _tuple(module.kernel_size),
            (self.input_shape if transposed else self.output_shape)[:-1],
            groups=1 if transposed else module.feature_group_count,
        )

    def _own_macs(self) -> int:
        """Multiply-adds on the whole batch of a convolution of this library."""
        module, channels = self.module, self.input_shape[-1]
        depthwise = isinstance(module, DepthwiseConv)
        transposed = isinstance(module, ConvTranspose)
        return conv_macs(
            channels,
            self.output_shape[-1],
            each_axis(module.kernel_size, len(self.input_shape) - 2),
            (self.input_shape if transposed else self.output_shape)[:-1],
            groups=channels if depthwise else getattr(module, "groups", 1),
        )


def _trace(
    model: nn.Module,
    variables: PyTree,
    rngs: PyTree,
    image: jax.ShapeDtypeStruct,
    kwargs: dict[str, Any],
) -> tuple[list[_Call], ReceptiveFields]:
    """Returns the calls of all modules in order, and the receptive fields."""
    calls: list[_Call] = []

    def record(
        function: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        if context.method_name != "__call__":
            return function(*args, **keywords)
        module = context.module
        call = _Call(module, module.path)
        tag = _tag(len(calls))
        calls.append(call)
        arrays = jax.tree.leaves((args, keywords))
        call.input_shape = getattr(arrays[0], "shape", ()) if arrays else ()
        if isinstance(module, _NORMS):
            x = arrays[0]
            dtype = module.dtype or jnp.result_type(x, module.param_dtype)
            outputs = x.astype(dtype)
        else:
            outputs = function(*args, **keywords)
        shapes = [x.shape for x in jax.tree.leaves(outputs) if hasattr(x, "shape")]
        call.output_shape = shapes[0] if shapes else ()
        return jax.tree.map(
            lambda x: checkpoint_name(x, tag) if _is_float(x) else x, outputs
        )

    def forward(variables: PyTree, rngs: PyTree, image: jax.Array) -> Any:
        with nn.intercept_methods(record):
            return model.apply(
                variables, image, rngs=rngs, mutable=list(variables), **kwargs
            )

    jaxpr = jax.make_jaxpr(forward)(variables, rngs, image)
    return calls, receptive_fields(jaxpr, image=len(jaxpr.jaxpr.invars) - 1)


def _tag(index: int) -> str:
    return f"jaxcnn/layer/{index}"


def _is_float(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.inexact)


def _rows(
    calls: list[_Call],
    fields: ReceptiveFields,
    params: PyTree,
    depth: int | None,
    *,
    batch: int,
) -> tuple[Row, ...]:
    """Returns one row for each module that is shown, with what it hides added to it."""
    leaves = {
        tuple(name.split("/")): leaf for name, leaf in flatten_named(params).items()
    }
    paths = {call.path for call in calls}
    owners = {_owner(leaf, paths) for leaf in leaves}
    owners |= {call.path for call in calls if call.macs}
    shown = _shown(paths, owners, depth)
    if any(_owner(path, shown) not in shown for path in owners):
        shown.add(())
    counts: Counter[_Path] = Counter()
    macs: Counter[_Path] = Counter()
    for path, leaf in leaves.items():
        counts[_owner(path, shown)] += math.prod(leaf.shape)
    for call in calls:
        macs[_owner(call.path, shown)] += call.macs
    first: dict[_Path, tuple[int, _Call]] = {}
    for index, call in enumerate(calls):
        first.setdefault(call.path, (index, call))
    return tuple(
        Row(
            path="/".join(path),
            type=type(call.module).__name__,
            output_shape=call.output_shape,
            kernel=_attribute(call.module, "kernel_size", "window_shape"),
            stride=_stride(call.module),
            params=counts[path],
            macs=macs[path] // batch,
            receptive_field=fields.named.get(_tag(index)),
            calls=sum(other.path == path for other in calls),
        )
        for path, (index, call) in first.items()
        if path in shown
    )


def _shown(paths: set[_Path], owners: set[_Path], depth: int | None) -> set[_Path]:
    """Returns the modules to list: the deepest that are allowed, and all owners."""
    allowed = {path for path in paths if depth is None or len(path) <= depth}
    parents = {path[:end] for path in allowed for end in range(len(path))}
    return {path for path in allowed if path not in parents or path in owners}


def _owner(path: _Path, modules: set[_Path]) -> _Path:
    """Returns the deepest of the modules that the path lies in."""
    return next(
        (path[:end] for end in range(len(path), 0, -1) if path[:end] in modules), ()
    )


def _attribute(module: nn.Module, *names: str) -> tuple[int, ...] | None:
    """Returns the first of the attributes that holds an integer or several."""
    for name in names:
        value = getattr(module, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return (value,)
        if isinstance(value, tuple) and all(isinstance(n, int) for n in value):
            return value
    return None


def _stride(module: nn.Module) -> tuple[int, ...] | None:
    """Returns one stride for each axis of the kernel; Linen leaves out what is 1."""
    kernel = _attribute(module, "kernel_size", "window_shape")
    if kernel is None:
        return None
    stride = _attribute(module, "strides", "stride") or (1,)
    return stride * len(kernel) if len(stride) == 1 else stride


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _by(sizes: Sequence[int] | None) -> str:
    return "" if sizes is None else "x".join(map(str, sizes))


def _table(rows: Sequence[Row]) -> list[str]:
    """Returns aligned lines: names to the left, numbers to the right."""
    header = "layer type output kernel stride parameters multiply-adds field".split()
    cells = [
        [
            row.path or "(model)",
            row.type + (f" x{row.calls}" if row.calls > 1 else ""),
            _by(row.output_shape),
            _by(row.kernel),
            _by(row.stride),
            f"{row.params:,}",
            f"{row.macs:,}",
            "" if row.receptive_field is None else str(row.receptive_field),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = []
    for line in (header, ["-" * width for width in widths], *cells):
        left = [cell.ljust(w) for cell, w in zip(line[:2], widths[:2], strict=True)]
        right = [cell.rjust(w) for cell, w in zip(line[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return lines
