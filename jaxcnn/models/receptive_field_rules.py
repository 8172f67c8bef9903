"""How each operation of JAX maps what its operands see of an image.

One rule for each operation that moves, joins or widens the intervals that
`jaxcnn.models.receptive_field` follows.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxcnn.arithmetic import Intervals

#: What a value sees of each spatial axis of the image: intervals, or `None` for all
#: of it. An axis that is not a key is not seen: the value does not depend on the image.
View = dict[int, Intervals | None]


def _map(view: View, function: Callable[[int, Intervals], Intervals | None]) -> View:
    """Returns the view with `function(axis of the value, intervals)` applied."""
    return {axis: seen and function(seen.axis, seen) for axis, seen in view.items()}


def _keep(seen: Intervals, axis: int) -> Intervals:
    return dataclasses.replace(seen, axis=axis)


# One rule an operation: `rule(equation, views of its operands)` returns views whose
# union is that of the output.


def _transpose(eqn: Any, inputs: list[View]) -> list[View]:
    order = list(eqn.params["permutation"])
    return [_map(inputs[0], lambda axis, seen: _keep(seen, order.index(axis)))]


def _drop(dropped: Sequence[int], inputs: list[View]) -> list[View]:
    def move(axis: int, seen: Intervals) -> Intervals | None:
        if axis in dropped:
            return None
        return _keep(seen, axis - sum(other < axis for other in dropped))

    return [_map(inputs[0], move)]


def _squeeze(eqn: Any, inputs: list[View]) -> list[View]:
    return _drop(eqn.params["dimensions"], inputs)


def _reduce(eqn: Any, inputs: list[View]) -> list[View]:
    return _drop(eqn.params["axes"], inputs)


def _broadcast(eqn: Any, inputs: list[View]) -> list[View]:
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape

    def move(axis: int, seen: Intervals) -> Intervals | None:
        target = eqn.params["broadcast_dimensions"][axis]
        return _keep(seen, target) if before[axis] == after[target] else None

    return [_map(inputs[0], move)]


def _slice(eqn: Any, inputs: list[View]) -> list[View]:
    start, strides = eqn.params["start_indices"], eqn.params["strides"]

    def move(axis: int, seen: Intervals) -> Intervals:
        step = strides[axis] if strides else 1
        return seen.read(axis, [start[axis]], step)

    return [_map(inputs[0], move)]


def _split(eqn: Any, inputs: list[View]) -> list[View]:
    views, start = [], 0
    for size in eqn.params["sizes"]:

        def move(axis: int, seen: Intervals, start: int = start) -> Intervals:
            offset = start if axis == eqn.params["axis"] else 0
            return seen.read(axis, [offset])

        views.append(_map(inputs[0], move))
        start += size
    return views


def _rev(eqn: Any, inputs: list[View]) -> list[View]:
    shape = eqn.invars[0].aval.shape

    def move(axis: int, seen: Intervals) -> Intervals:
        flipped = axis in eqn.params["dimensions"]
        return seen.read(axis, [shape[axis] - 1], step=-1) if flipped else seen

    return [_map(inputs[0], move)]


def _concatenate(eqn: Any, inputs: list[View]) -> list[View]:
    along, views, start = eqn.params["dimension"], [], 0
    sizes = [atom.aval.shape[along] for atom in eqn.invars]
    pairs = zip(sizes, inputs, strict=True)
    inputs = [view if size else {} for size, view in pairs]  # nothing sees nothing
    body = max(range(len(sizes)), key=sizes.__getitem__)
    if _sees_along(inputs[body], along) and 2 * sizes[body] > sum(sizes):
        # What continues an image beyond its borders: the middle sees none of it.
        inputs = [view if k == body else {} for k, view in enumerate(inputs)]
    for atom, view in zip(eqn.invars, inputs, strict=True):

        def move(axis: int, seen: Intervals, start: int = start) -> Intervals:
            offset = -start if axis == along else 0
            return seen.read(axis, [offset])

        views.append(_map(view, move))
        start += atom.aval.shape[along]
    return views


def _sees_along(view: View, axis: int) -> bool:
    return any(seen and seen.axis == axis for seen in view.values())


def _stack(eqn: Any, inputs: list[View]) -> list[View]:
    new = eqn.params["axis"]
    return [
        _map(view, lambda axis, seen: _keep(seen, axis + (axis >= new)))
        for view in inputs
    ]


def _pad(eqn: Any, inputs: list[View]) -> list[View]:
    def move(axis: int, seen: Intervals) -> Intervals:
        low, _, interior = eqn.params["padding_config"][axis]
        return seen.read(axis, [-low], spread=interior + 1)

    return [_map(inputs[0], move), *inputs[1:]]


def _reduce_window(eqn: Any, inputs: list[View]) -> list[View]:
    params, shape = eqn.params, eqn.invars[0].aval.shape
    after = eqn.outvars[0].aval.shape

    def move(axis: int, seen: Intervals) -> Intervals | None:
        window = params["window_dimensions"][axis]
        if after[axis] == 1 < shape[axis] <= window:
            return None  # global pooling
        return seen.read(
            axis,
            _taps(window, params["padding"][axis], params["window_dilation"][axis]),
            params["window_strides"][axis],
            params["base_dilation"][axis],
        )

    return [_map(view, move) for view in inputs]


def _conv(eqn: Any, inputs: list[View]) -> list[View]:
    params = eqn.params
    numbers = params["dimension_numbers"]
    kernel = eqn.invars[1].aval.shape

    def move(axis: int, seen: Intervals) -> Intervals | None:
        index = numbers.lhs_spec.index(axis)
        if index == 1:  # channels are summed over
            return None
        if index == 0:
            return _keep(seen, numbers.out_spec[0])
        spatial = index - 2
        return seen.read(
            numbers.out_spec[index],
            _taps(
                kernel[numbers.rhs_spec[index]],
                params["padding"][spatial],
                params["rhs_dilation"][spatial],
            ),
            params["window_strides"][spatial],
            params["lhs_dilation"][spatial],
        )

    return [_map(inputs[0], move), _map(inputs[1], lambda axis, seen: None)]


def _taps(window: int, padding: tuple[int, int], dilation: int) -> Iterable[int]:
    """Returns the places that the first position of a window reads."""
    return range(-padding[0], window * dilation - padding[0], dilation)


def _dot(eqn: Any, inputs: list[View]) -> list[View]:
    contracted, batch = eqn.params["dimension_numbers"]
    ranks = [len(atom.aval.shape) for atom in eqn.invars]
    free = [
        [a for a in range(ranks[k]) if a not in contracted[k] and a not in batch[k]]
        for k in (0, 1)
    ]

    def moved(k: int) -> View:
        order = list(batch[k]) + (len(free[0]) if k else 0) * [None] + free[k]

        def move(axis: int, seen: Intervals) -> Intervals | None:
            return _keep(seen, order.index(axis)) if axis in order else None

        return _map(inputs[k], move)

    return [moved(0), moved(1)]


def _reshape(eqn: Any, inputs: list[View]) -> list[View]:
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    groups = _reshape_groups(before, after)
    spatial = {seen.axis for seen in inputs[0].values() if seen}

    def move(axis: int, seen: Intervals) -> Intervals | None:
        ins, outs = next(group for group in groups if axis in group[0])
        if not math.prod(after):
            return None
        if len(ins) == len(outs) == 1:
            return _keep(seen, outs[0])
        many_in = [a for a in ins if before[a] > 1]
        many_out = [a for a in outs if after[a] > 1]
        if many_in == [axis]:  # cut into runs of `run` positions
            run = before[axis] // after[many_out[0]]
            return seen.read(many_out[0], range(run), step=run)
        alone = len(spatial & set(ins)) == 1
        if alone and many_in[:1] == [axis] and len(many_out) == 1:  # runs are joined
            run = after[many_out[0]] // before[axis]
            return seen.read(many_out[0], range(1 - run, 1), spread=run)
        return None

    return [_map(inputs[0], move)]


def _reshape_groups(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """Returns the shortest runs of axes, before and after, of equal size."""
    if 0 in before:  # nothing in it: an empty border, for one
        return [(list(range(len(before))), list(range(len(after))))]
    groups = []
    i = j = 0
    while i < len(before) or j < len(after):
        ins, outs = list(range(i, len(before)))[:1], list(range(j, len(after)))[:1]
        i, j = i + len(ins), j + len(outs)
        while (got := _size(before, ins)) != (wanted := _size(after, outs)):
            if got < wanted:
                ins.append(i)
                i += 1
            else:
                outs.append(j)
                j += 1
        groups.append((ins, outs))
    return groups


def _size(shape: Sequence[int], axes: list[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


RULES: dict[str, Callable[[Any, list[View]], list[View]]] = {
    "argmax": _reduce,
    "argmin": _reduce,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "pad": _pad,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reduce_prod": _reduce,
    "reduce_sum": _reduce,
    "reduce_window": _reduce_window,
    "reduce_window_max": _reduce_window,
    "reduce_window_min": _reduce_window,
    "reduce_window_sum": _reduce_window,
    "reshape": _reshape,
    "rev": _rev,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
