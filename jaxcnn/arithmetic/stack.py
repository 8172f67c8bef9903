"""A stack of layers as a table: shape, counts and receptive field after each layer."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from jaxcnn.arithmetic.axes import check_at_least, count_axes, each_axis
from jaxcnn.arithmetic.counts import conv_macs, conv_params, dense_macs, dense_params
from jaxcnn.arithmetic.intervals import Intervals
from jaxcnn.arithmetic.layer import Layer
from jaxcnn.arithmetic.sizes import output_size, sides, transposed_output_size
from jaxcnn.table import aligned


@dataclasses.dataclass(frozen=True)
class StackRow:
    """What is there after one layer.

    Attributes:
        name: The layer's own, or its kind and number, such as `"convolution 2"`.
        kind: As in `Layer`.
        shape: `(*spatial, channels)` of its output.
        params: Its parameters.
        macs: Its multiply-adds on one image.
        receptive_field: Pixels of the image along each axis that one output sees;
            `None` where it sees the whole image, whatever its size.
        stride: Pixels of the image between two neighbouring outputs along each axis, a
            fraction behind transposed convolutions; `None` where there is one output.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: tuple[int, ...] | None
    stride: tuple[int | Fraction, ...] | None


@dataclasses.dataclass(frozen=True)
class Total:
    """What all layers of a kind sum to, and their share of the whole (0 to 1)."""

    layers: int
    params: int
    macs: int
    params_share: float
    macs_share: float


@dataclasses.dataclass(frozen=True)
class Stack:
    """What `compute_stack` returns; `str(stack)` is the table.

    Attributes:
        image_shape: `(*spatial, channels)` of the input.
        rows: One a layer. The layers of branches have rows of their own; that of the
            branches themselves then holds no counts.
    """

    image_shape: tuple[int, ...]
    rows: tuple[StackRow, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that comes out, `(*spatial, channels)`."""
        return self.rows[-1].shape if self.rows else self.image_shape

    @property
    def params(self) -> int:
        """The parameters of all layers."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """The multiply-adds of all layers on one image."""
        return sum(row.macs for row in self.rows)

    @property
    def totals(self) -> dict[str, Total]:
        """The totals by kind of layer, of the kinds that have parameters or cost."""
        kinds: dict[str, list[StackRow]] = {}
        for row in self.rows:
            if row.params or row.macs:
                kinds.setdefault(row.kind, []).append(row)
        params, macs = max(self.params, 1), max(self.macs, 1)
        return {
            kind: Total(
                layers=len(rows),
                params=(p := sum(row.params for row in rows)),
                macs=(m := sum(row.macs for row in rows)),
                params_share=p / params,
                macs_share=m / macs,
            )
            for kind, rows in kinds.items()
        }

    def __str__(self) -> str:
        header = "layer output parameters multiply-adds field stride".split()
        cells = [
            [
                row.name,
                "x".join(map(str, row.shape)),
                f"{row.params:,}",
                f"{row.macs:,}",
                _written(row.receptive_field),
                _written(row.stride),
            ]
            for row in self.rows
        ]
        cells.append(["sum", "", f"{self.params:,}", f"{self.macs:,}", "", ""])
        return "\n".join(aligned(header, cells))


def compute_stack(image_shape: Sequence[int], layers: Iterable[Layer]) -> Stack:
    """Returns shape, parameters, multiply-adds and receptive field after each layer.

    Args:
        image_shape: `(*spatial, channels)`, with any number of spatial axes.
        layers: The layers, first layer first.

    Raises:
        ValueError: if a layer does not fit what comes to it (the layer is named).

    Example:
        >>> from jaxcnn.arithmetic import conv, dense, pool
        >>> lenet = [conv(10, 5), pool(2), conv(20, 5), pool(2), dense(10)]
        >>> print(compute_stack((28, 28, 1), lenet))
        layer          output    parameters  multiply-adds  field  stride
        -------------  --------  ----------  -------------  -----  ------
        convolution 1  24x24x10         260        144,000      5       1
        pooling 1      12x12x10           0              0      6       2
        convolution 2    8x8x20       5,020        320,000     14       2
        pooling 2        4x4x20           0              0     16       4
        dense 1              10       3,210          3,200
        sum                           8,490        467,200

        Time sits in convolutions, parameters in dense layers: AlexNet, as
        torchvision has it, and VGG-16.

        >>> alexnet = [
        ...     *(conv(64, 11, 4, 2), pool(3, 2), conv(192, 5, padding=2), pool(3, 2)),
        ...     *(conv(384, 3, padding=1), conv(256, 3, padding=1)),
        ...     *(conv(256, 3, padding=1), pool(3, 2)),
        ...     *(dense(4096), dense(4096), dense(1000)),
        ... ]
        >>> vgg16 = []
        >>> for features, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        ...     vgg16 += [conv(features, 3, padding="same")] * count + [pool(2)]
        >>> vgg16 += [dense(4096), dense(4096), dense(1000)]
        >>> for layers in (alexnet, vgg16):
        ...     stack = compute_stack((224, 224, 3), layers)
        ...     print(f"{stack.params:,} parameters, {stack.macs:,} multiply-adds")
        ...     for kind, total in stack.totals.items():
        ...         shares = f"{total.params_share:.1%}, {total.macs_share:.1%}"
        ...         print(f"  {kind} ({total.layers}): {shares}")
        61,100,840 parameters, 714,188,480 multiply-adds
          convolution (5): 4.0%, 91.8%
          dense (3): 96.0%, 8.2%
        138,357,544 parameters, 15,470,264,320 multiply-adds
          convolution (13): 10.6%, 99.2%
          dense (3): 89.4%, 0.8%
    """
    shape = tuple(image_shape)
    if not shape:
        raise ValueError("image_shape must be (*spatial, channels), got ().")
    for n in shape:
        check_at_least(1, image_shape=n)
    fields = tuple(Intervals(axis) for axis in range(len(shape) - 1))
    rows: list[StackRow] = []
    _run(_State(shape, fields), layers, rows)
    return Stack(shape, tuple(rows))


@dataclasses.dataclass(frozen=True)
class _State:
    """A shape, and what its positions see; `None` for the whole image."""

    shape: tuple[int, ...]
    fields: tuple[Intervals, ...] | None

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.shape[:-1]


def _run(state: _State, layers: Iterable[Layer], rows: list[StackRow]) -> _State:
    """Returns the state after the layers, and appends a row for each."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ValueError(f"A stack is made of layers such as conv(...); {layer!r}.")
        number = 1 + sum(row.kind == layer.kind for row in rows)
        name = layer.name or f"{layer.kind} {number}"
        try:
            if layer.kind == "branches":
                state, params, macs = _branches(state, layer, rows, name), 0, 0
            else:
                state, params, macs = _RULES[layer.kind](state, layer)
        except ValueError as error:
            known = str(error).startswith("Layer ")
            raise ValueError(
                str(error) if known else f"Layer {name!r}: {error}"
            ) from error
        rows.append(_row(name, layer.kind, state, params, macs))
    return state


def _row(name: str, kind: str, state: _State, params: int, macs: int) -> StackRow:
    fields = state.fields if state.spatial else None
    return StackRow(
        name,
        kind,
        state.shape,
        params,
        macs,
        None if fields is None else tuple(field.size for field in fields),
        None if fields is None else tuple(_stride(field) for field in fields),
    )


def _stride(field: Intervals) -> int | Fraction:
    stride = Fraction(field.jump, len(field.spans))
    return int(stride) if stride.denominator == 1 else stride


def _conv(state: _State, layer: Layer) -> tuple[_State, int, int]:
    spatial, fields = _slide(state, layer)
    after = _State((*spatial, layer.features), fields)
    return after, *_conv_counts(state, layer, positions=spatial)


def _conv_transpose(state: _State, layer: Layer) -> tuple[_State, int, int]:
    axes = _axes(state, layer)
    spatial = transposed_output_size(
        state.spatial,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.output_padding,
    )
    fields = []
    for axis, field in enumerate(state.fields or ()):
        padding, kernel, stride, dilation = (
            each_axis(value, axes)[axis]
            for value in (layer.padding, layer.kernel, layer.stride, layer.dilation)
        )
        low, _ = sides(padding, state.spatial[axis], kernel, stride, dilation)
        taps = [low - dilation * tap for tap in range(kernel)]
        fields.append(field.read(axis, taps, spread=stride))
    after = _State(
        (*spatial, layer.features), None if state.fields is None else tuple(fields)
    )
    return after, *_conv_counts(state, layer, positions=state.spatial)


def _conv_counts(
    state: _State, layer: Layer, positions: tuple[int, ...]
) -> tuple[int, int]:
    axes, groups = len(state.spatial), layer.groups or state.channels
    params = conv_params(
        state.channels,
        layer.features,
        layer.kernel,
        groups=groups,
        bias=layer.bias,
        axes=axes,
    )
    macs = conv_macs(
        state.channels, layer.features, layer.kernel, positions, groups=groups
    )
    return params, macs


def _pool(state: _State, layer: Layer) -> tuple[_State, int, int]:
    spatial, fields = _slide(state, layer)
    return _State((*spatial, state.channels), fields), 0, 0


def _slide(
    state: _State, layer: Layer
) -> tuple[tuple[int, ...], tuple[Intervals, ...] | None]:
    """Returns the spatial shape and the fields after a window has moved over all."""
    axes = _axes(state, layer)
    window = (layer.kernel, layer.stride, layer.padding, layer.dilation)
    spatial = output_size(state.spatial, *window, ceil_mode=layer.ceil_mode)
    fields = []
    for axis, field in enumerate(state.fields or ()):
        kernel, stride, padding, dilation = (each_axis(v, axes)[axis] for v in window)
        low, _ = sides(padding, state.spatial[axis], kernel, stride, dilation)
        taps = [dilation * tap - low for tap in range(kernel)]
        fields.append(field.read(axis, taps, step=stride))
    return spatial, None if state.fields is None else tuple(fields)


def _axes(state: _State, layer: Layer) -> int:
    axes = len(state.spatial)
    if not axes:
        raise ValueError(f"a {layer.kind} needs spatial axes, got {state.shape}.")
    count_axes(axes, kernel=layer.kernel, stride=layer.stride, padding=layer.padding)
    return axes


def _global_pool(state: _State, layer: Layer) -> tuple[_State, int, int]:
    return _State((state.channels,), None), 0, 0


def _norm(state: _State, layer: Layer) -> tuple[_State, int, int]:
    return state, 2 * state.channels, 0


def _dense(state: _State, layer: Layer) -> tuple[_State, int, int]:
    inputs = math.prod(state.shape)
    params = dense_params(inputs, layer.features, bias=layer.bias)
    return _State((layer.features,), None), params, dense_macs(inputs, layer.features)


def _branches(state: _State, layer: Layer, rows: list[StackRow], name: str) -> _State:
    ends = []
    for number, stack in enumerate(layer.stacks, 1):
        inner: list[StackRow] = []
        ends.append(_run(state, stack, inner))
        prefix = f"{name}/{number}/"
        rows += [dataclasses.replace(row, name=prefix + row.name) for row in inner]
    if len({end.spatial for end in ends}) > 1:
        shapes = ", ".join("x".join(map(str, end.shape)) for end in ends)
        raise ValueError(f"its branches end in different sizes: {shapes}.")
    seen = all(end.fields is not None for end in ends)
    each = zip(*(end.fields for end in ends), strict=True) if seen else ()
    merged = tuple(map(_union, each))
    channels = sum(end.channels for end in ends)
    fields = merged if seen and None not in merged else None
    return _State((*ends[0].spatial, channels), fields)


def _union(fields: Sequence[Intervals]) -> Intervals | None:
    """Returns what all see together; `None` if they do not move at the same pace."""
    merged: Intervals | None = fields[0]
    for field in fields[1:]:
        merged = merged and merged.union(field)
    return merged


_RULES: dict[str, Callable[[_State, Layer], tuple[_State, int, int]]] = {
    "convolution": _conv,
    "transposed convolution": _conv_transpose,
    "pooling": _pool,
    "global pooling": _global_pool,
    "norm": _norm,
    "dense": _dense,
}


def _written(numbers: tuple[int | Fraction, ...] | None) -> str:
    """Returns `7` for equal numbers, else `3x9`."""
    if numbers is None:
        return ""
    same = len(set(numbers)) == 1
    return str(numbers[0]) if same else "x".join(map(str, numbers))
