"""The table of a model's layers: shapes, parameters, multiply-adds, receptive fields.

Everything is found by tracing: no array is made, and any Linen module will do.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.models.calls import Call, Path, trace_calls
from jaxcnn.models.receptive_field import ReceptiveFields
from jaxcnn.table import aligned
from jaxcnn.typing import Dtype

#: The kinds of layers in the order in which totals are shown.
_KINDS = ("convolution", "dense", "norm", "other")


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
        memory: Bytes of the outputs of its layers, for the whole batch, summed over
            its calls; what it computes without a layer counts nothing.
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
    memory: int
    calls: int = 1


@dataclasses.dataclass(frozen=True)
class KindTotal:
    """What all layers of a kind sum to.

    Attributes:
        layers: How many there are.
        params: Their trainable parameters.
        macs: Their multiply-adds on one image.
        memory: Bytes of their outputs, for the whole batch.
    """

    layers: int
    params: int
    macs: int
    memory: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `summarize` returns; `str(summary)` is the table.

    Attributes:
        model: The class of the model.
        input_shape: `(batch, ..., channels)`.
        rows: One a layer, in the order of the first calls. Their parameters,
            multiply-adds and bytes sum to the totals.
        params: Trainable parameters (batch statistics apart).
        macs: Multiply-adds of convolutions and dense layers, nothing else, for one
            image.
        memory: Bytes of the outputs of all layers for the whole batch: convolutions,
            dense layers, norms and all other modules without modules of their own.
            Additions, activations and pools that are plain functions are not modules.
        receptive_field: Pixels of the image, along the longer side, that one position
            of the deepest features sees, before they are flattened or pooled as a
            whole; the largest over branches. `None` without a spatial axis, and where
            features see the whole image and still have positions, as behind
            squeeze-and-excitation. Normalization counts as pointwise.
        totals: The sums by kind of layer: `"convolution"`, `"dense"`, `"norm"` and
            `"other"`, as far as there are such.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    params: int
    macs: int
    memory: int
    receptive_field: int | None
    totals: dict[str, KindTotal]

    def to_json(self) -> dict[str, Any]:
        """Returns the same as dictionaries, lists and numbers, ready for `json`."""
        values = dataclasses.asdict(self)
        return {**values, "rows": list(values["rows"])}

    def __str__(self) -> str:
        field = self.receptive_field
        totals = [
            f"input            {_by(self.input_shape)}",
            f"parameters       {self.params:,}",
            f"multiply-adds    {self.macs:,} (one image; convolutions, dense layers)",
            f"activations      {self.memory:,} bytes (outputs of layers, whole batch)",
            "receptive field  " + (f"{field} pixels" if field else "not defined"),
        ]
        tables = [_table(self.rows), _totals_table(self.totals)]
        return "\n".join(
            [self.model, "", *tables[0], "", *totals, "", *tables[1]],
        )


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
        >>> summary.memory == 28 * 28 * 10 * 4
        True
    """
    shape = tuple(input_shape)
    _check(model, shape, depth)
    calls, fields, leaves = trace_calls(model, shape, dtype, kwargs)
    params = {path: math.prod(leaf.shape) for path, leaf in leaves.items()}
    rows = _rows(calls, fields, params, depth, batch=shape[0])
    return Summary(
        model=type(model).__name__,
        input_shape=shape,
        rows=rows,
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        memory=sum(row.memory for row in rows),
        receptive_field=fields.largest,
        totals=_totals(calls, params, batch=shape[0]),
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


def _rows(
    calls: list[Call],
    fields: ReceptiveFields,
    params: dict[Path, int],
    depth: int | None,
    *,
    batch: int,
) -> tuple[Row, ...]:
    """Returns one row for each module that is shown, with what it hides added to it."""
    paths = {call.path for call in calls}
    shown = _shown(paths, _owners(calls, params), depth)
    if any(_owner(path, shown) not in shown for path in _owners(calls, params)):
        shown.add(())
    inner = _containers(paths)
    counts: Counter[Path] = Counter()
    macs: Counter[Path] = Counter()
    memory: Counter[Path] = Counter()
    times: Counter[Path] = Counter()
    first: dict[Path, Call] = {}
    for path, count in params.items():
        counts[_owner(path, shown)] += count
    for call in calls:
        first.setdefault(call.path, call)
        times[call.path] += 1
        owner = _owner(call.path, shown)
        macs[owner] += call.macs
        memory[owner] += 0 if call.path in inner else call.memory
    return tuple(
        Row(
            path="/".join(path),
            type=type(call.module).__name__,
            output_shape=call.output_shape,
            kernel=call.kernel,
            stride=call.stride,
            params=counts[path],
            macs=macs[path] // batch,
            receptive_field=fields.named.get(call.tag),
            memory=memory[path],
            calls=times[path],
        )
        for path, call in first.items()
        if path in shown
    )


def _totals(
    calls: list[Call], params: dict[Path, int], *, batch: int
) -> dict[str, KindTotal]:
    """Returns the sums by kind over the modules that own parameters or are leaves."""
    inner = _containers({call.path for call in calls})
    kinds = {call.path: call.kind for call in calls}
    layers: dict[str, set[Path]] = {kind: set() for kind in _KINDS}
    sums: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}
    for path, count in params.items():
        owner = _owner(path, kinds)
        kind = kinds.get(owner, "other")
        layers[kind].add(owner)
        sums[kind]["params"] += count
    for call in calls:
        sums[call.kind]["macs"] += call.macs
        if call.path not in inner:
            layers[call.kind].add(call.path)
            sums[call.kind]["memory"] += call.memory
    return {
        kind: KindTotal(
            len(layers[kind]),
            sums[kind]["params"],
            sums[kind]["macs"] // batch,
            sums[kind]["memory"],
        )
        for kind in _KINDS
        if layers[kind]
    }


def _owners(calls: list[Call], params: dict[Path, int]) -> set[Path]:
    """Returns the modules that have parameters or multiply-adds of their own."""
    paths = {call.path for call in calls}
    owners = {_owner(leaf, paths) for leaf in params}
    return owners | {call.path for call in calls if call.macs}


def _containers(paths: set[Path]) -> set[Path]:
    """Returns the modules that call other modules."""
    return {path[:end] for path in paths for end in range(len(path))}


def _shown(paths: set[Path], owners: set[Path], depth: int | None) -> set[Path]:
    """Returns the modules to list: the deepest that are allowed, and all owners."""
    allowed = {path for path in paths if depth is None or len(path) <= depth}
    parents = _containers(allowed)
    return {path for path in allowed if path not in parents or path in owners}


def _owner(path: Path, modules: Any) -> Path:
    """Returns the deepest of the modules that the path lies in."""
    return next(
        (path[:end] for end in range(len(path), 0, -1) if path[:end] in modules), ()
    )


def _by(sizes: Sequence[int] | None) -> str:
    return "" if sizes is None else "x".join(map(str, sizes))


def _table(rows: Sequence[Row]) -> list[str]:
    header = "layer type output kernel stride parameters multiply-adds field bytes"
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
            f"{row.memory:,}",
        ]
        for row in rows
    ]
    return aligned(header.split(), cells, left=(0, 1))


def _totals_table(totals: dict[str, KindTotal]) -> list[str]:
    """Returns the totals by kind, with their shares where these say something."""
    params = max(1, sum(total.params for total in totals.values()))
    macs = max(1, sum(total.macs for total in totals.values()))
    cells = [
        [
            kind,
            str(total.layers),
            f"{total.params:,}",
            f"{total.params / params:.1%}",
            f"{total.macs:,}",
            f"{total.macs / macs:.1%}",
            f"{total.memory:,}",
        ]
        for kind, total in totals.items()
    ]
    header = ["kind", "layers", "parameters", "share", "multiply-adds", "share"]
    return aligned([*header, "bytes"], cells)
