"""Receptive fields read off a traced computation, whatever layers it is made of.

Along each spatial axis a position of a value sees an interval of the image's pixels.
Every operation maps intervals to intervals: a convolution widens them, a stride sets
them further apart, a sum of two branches takes the union. So branches, functional
pooling, upsampling and any lowering of a convolution are followed alike.

Reference:
    Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill 2019, https://distill.pub/2019/computing-receptive-fields.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jax.extend import core

from jaxcnn.arithmetic import Intervals
from jaxcnn.models.receptive_field_rules import RULES, View


@dataclasses.dataclass
class ReceptiveFields:
    """What `receptive_fields` found.

    Attributes:
        largest: Pixels, along the longer side, that one position of the deepest
            features sees, before they are flattened or pooled as a whole. `None` if
            some features see the whole image, whatever its size, and still have
            positions (squeeze-and-excitation), or if an operation is not known.
        named: The same for each value marked by `jax.ad_checkpoint.checkpoint_name`;
            `None` for one that sees the whole image.
        views: What the positions of these values see, axis by axis.
    """

    largest: int | None
    named: dict[str, int | None]
    views: dict[str, View]


def receptive_fields(jaxpr: core.ClosedJaxpr, image: int) -> ReceptiveFields:
    """Returns the receptive fields of the values of a traced computation.

    Args:
        jaxpr: What `jax.make_jaxpr` gives.
        image: Which of its inputs is the image, `[batch, ..., channels]`.
    """
    invars = jaxpr.jaxpr.invars
    rank = len(invars[image].aval.shape)
    views: list[View] = [{} for _ in invars]
    views[image] = {axis: Intervals(axis) for axis in range(1, rank - 1)}
    walk = _Walk()
    walk.run(jaxpr.jaxpr, views)
    named = {name: _largest(view) for name, view in walk.views.items()}
    return ReceptiveFields(walk.largest if walk.bounded else None, named, walk.views)


class _Walk:
    """Follows the views through a jaxpr and those that it calls."""

    def __init__(self) -> None:
        self.bounded = True
        self.largest: int | None = None
        self.views: dict[str, View] = {}

    def run(self, jaxpr: core.Jaxpr, views: Sequence[View]) -> list[View]:
        known = dict(zip(jaxpr.invars, views, strict=True))

        def view_of(atom: Any) -> View:
            return {} if isinstance(atom, core.Literal) else known.get(atom, {})

        for eqn in jaxpr.eqns:
            inputs = [view_of(atom) for atom in eqn.invars]
            if not any(inputs):
                continue
            outputs = self.step(eqn, inputs)
            for var, view in zip(eqn.outvars, outputs, strict=True):
                known[var] = view
                self.note(view)
        return [view_of(atom) for atom in jaxpr.outvars]

    def step(self, eqn: Any, inputs: list[View]) -> list[View]:
        name = eqn.primitive.name
        if name == "name":
            self.views[eqn.params["name"]] = inputs[0]
            return inputs
        if name == "optimization_barrier":
            return inputs
        if name in RULES:
            moved = RULES[name](eqn, inputs)
            views = moved if name == "split" else [self.union(moved)]
        elif (inner := _elsewhere(eqn)) is not None:
            views = self.run(inner, inputs[1:])
        elif (inner := _called(eqn)) is not None:
            views = self.run(inner, inputs)
        elif _is_pointwise(eqn, inputs):
            views = [self.union(inputs)] * len(eqn.outvars)
        else:
            views = [self.lose(inputs)] * len(eqn.outvars)
        return views

    def union(self, views: list[View]) -> View:
        """Returns what a value sees that is computed position by position."""
        merged: View = {}
        for axis in {axis: None for view in views for axis in view}:
            parts = [view[axis] for view in views if axis in view]
            merged[axis] = parts[0]
            for part in parts[1:]:
                both = merged[axis] and part and merged[axis].union(part)
                if both is None and (merged[axis] or part):
                    self.bounded = False
                merged[axis] = both
        return merged

    def lose(self, views: list[View]) -> View:
        """Returns the view after an operation that is not known: everything."""
        if any(seen for view in views for seen in view.values()):
            self.bounded = False
        return {axis: None for view in views for axis in view}

    def note(self, view: View) -> None:
        size = max((seen.size for seen in view.values() if seen), default=0)
        if size:
            self.largest = max(size, self.largest or 0)


def _largest(view: View) -> int | None:
    """Returns the longer side of a view; `None` where it has no bound."""
    if not view or None in view.values():
        return None
    return max(seen.size for seen in view.values())


def _elsewhere(eqn: Any) -> core.Jaxpr | None:
    """Returns what a choice by platform does on those that it does not name.

    `jax.lax.platform_dependent` computes the same on all of them, and there a
    convolution is one operation.
    """
    platforms = eqn.params.get("branches_platforms")
    if eqn.primitive.name != "cond" or not platforms or platforms[-1] is not None:
        return None
    return eqn.params["branches"][-1].jaxpr


def _called(eqn: Any) -> core.Jaxpr | None:
    """Returns the jaxpr that an equation calls once with its own operands."""
    if eqn.primitive.name in {"scan", "while", "cond"}:
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(key)
        inner = getattr(inner, "jaxpr", inner)
        if inner is not None and len(inner.invars) == len(eqn.invars):
            return inner
    return None


#: Operations whose operands may have the shape of their result, yet mix positions.
_NOT_POINTWISE = frozenset(
    "cumlogsumexp cummax cummin cumprod cumsum fft gather scatter scatter-add "
    "scatter-max scatter-min scatter-mul sort".split()
)


def _is_pointwise(eqn: Any, inputs: list[View]) -> bool:
    """Tells whether every output position reads the same position of the operands."""
    if eqn.primitive.name in _NOT_POINTWISE or _has_jaxpr(eqn):
        return False
    shapes = {var.aval.shape for var in eqn.outvars}
    shapes |= {
        atom.aval.shape
        for atom, view in zip(eqn.invars, inputs, strict=True)
        if view and atom.aval.shape
    }
    return len(shapes) == 1


def _has_jaxpr(eqn: Any) -> bool:
    return any("jaxpr" in key or key == "branches" for key in eqn.params)
