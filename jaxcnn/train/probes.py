"""Watches what goes in and out of every module, in both passes of a compiled step."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.typing import Array, PyTree


class Call:
    """One call of a module.

    Attributes:
        path: The module's path, empty for the model.
        name: The last part of it.
        kind: Its class.
        parent: The call in whose midst it was made.
        start: Its inputs.
        end: Its outputs, once it returned.
    """

    def __init__(self, path: str, kind: str, parent: Call | None) -> None:
        self.path, self.kind, self.parent = path, kind, parent
        self.name = path.rpartition("/")[2]
        self.start: Event = Event(self, is_output=False)
        self.end: Event = Event(self, is_output=True)


class Event:
    """Values that pass a point: the inputs or the outputs of a call.

    Attributes:
        call: Whose they are.
        is_output: Whether they are its outputs.
        of_parameters: Whether this stands for a gradient of its parameters.
    """

    def __init__(
        self, call: Call, *, is_output: bool, of_parameters: bool = False
    ) -> None:
        self.call, self.is_output = call, is_output
        self.of_parameters = of_parameters
        self._least, self._largest = np.inf, -np.inf
        self._bad: dict[bool, np.ndarray | None] = {}

    def see(self, backward: bool, least: Any, largest: Any, bad: Any) -> None:
        """Takes what one array was like: its range, and its rows not finite."""
        if not backward:
            self._least = min(self._least, float(least))
            self._largest = max(self._largest, float(largest))
        bad = np.asarray(bad)
        known = self._bad.get(backward)
        if bad.any():
            same = known is not None and known.shape == bad.shape
            self._bad[backward] = known | bad if same else bad

    def is_bad(self, *, backward: bool) -> bool:
        """Whether a value, or a gradient, was not finite."""
        return backward in self._bad

    def rows(self, size: int, *, backward: bool) -> tuple[int, ...]:
        """Returns which of `size` rows were not finite; none if rows mean else."""
        bad = self._bad.get(backward)
        if bad is None or len(bad) != size:
            return ()
        return tuple(np.flatnonzero(bad).tolist())

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the largest of the finite values in the forward pass."""
        if self._least > self._largest:
            return None
        return self._least, self._largest


class Probes(contextlib.AbstractContextManager):
    """A context: what is traced in it tells, when run, of all calls of modules.

    Events are in the order of the forward pass: a call's inputs, those of the calls
    within, its outputs. The backward pass goes through them the other way round.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._stack: list[Call] = []
        self._context = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._context.enter_context(nn.intercept_methods(self._intercept))
        return self

    def __exit__(self, *error: object) -> None:
        self._context.close()

    def first_forward(self) -> Event | None:
        """Returns the first event whose values are not all finite.

        Where the model was given such values, it is the first output that has them.
        """
        bad = [e for e in self.events if e.is_bad(backward=False)]
        if bad and not bad[0].is_output and bad[0].call.parent is None:
            bad = [e for e in bad if e.is_output]
        return bad[0] if bad else None

    def first_backward(self, modules: Iterable[str]) -> Event | None:
        """Returns the event nearest the loss whose gradients are not all finite.

        Args:
            modules: Paths of modules with a parameter whose gradient is not finite.
        """
        named = set(modules)
        for event in reversed(self.events):
            if event.is_bad(backward=True):
                return event
            # Past its own code; what it was given is looked at before it.
            if not event.is_output and event.call.path in named:
                return Event(event.call, is_output=False, of_parameters=True)
        return None

    def kind_of(self, path: str) -> str:
        """Returns the class of a module by its path."""
        kinds = (e.call.kind for e in self.events if e.call.path == path)
        return next(kinds, "")

    def inner_of(self, call: Call, *, first: bool) -> Call | None:
        """Returns the first or the last call made directly within another."""
        calls = [e.call for e in self.events if e.is_output and e.call.parent is call]
        return (calls[0] if first else calls[-1]) if calls else None

    def _intercept(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: Any,
    ) -> Any:
        if context.method_name != "__call__":
            return function(*args, **kwargs)
        module = context.module
        parent = self._stack[-1] if self._stack else None
        call = Call("/".join(module.path), type(module).__name__, parent)
        self.events.append(call.start)
        self._stack.append(call)
        try:
            args, kwargs = _watched(call.start, (args, kwargs))
            outputs = function(*args, **kwargs)
        finally:
            self._stack.pop()
        self.events.append(call.end)
        return _watched(call.end, outputs)


def _watched(event: Event, tree: PyTree) -> PyTree:
    def watch(leaf: Any) -> Any:
        floats = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return _watch(event, leaf) if floats and leaf.size else leaf

    return jax.tree.map(watch, tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _watch(event: Event, x: Array) -> Array:
    """Returns `x`; tells the event of it, and of its gradient."""
    _tell(event, False, x)
    return x


def _watch_forward(event: Event, x: Array) -> tuple[Array, None]:
    return _watch(event, x), None


def _watch_backward(event: Event, _: None, gradient: Array) -> tuple[Array]:
    _tell(event, True, gradient)
    return (gradient,)


_watch.defvjp(_watch_forward, _watch_backward)


def _tell(event: Event, backward: bool, x: Array) -> None:
    finite = jnp.isfinite(x)
    least = jnp.min(jnp.where(finite, x, jnp.inf))
    largest = jnp.max(jnp.where(finite, x, -jnp.inf))
    bad = ~finite.all(axis=tuple(range(1, x.ndim))) if x.ndim else ~finite[None]
    jax.debug.callback(functools.partial(event.see, backward), least, largest, bad)
