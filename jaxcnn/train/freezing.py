"""Frozen parts of a model: no gradient, inference mode, statistics that stay."""

import contextlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from flax import linen as nn
from jax import lax

from jaxcnn.tree import flatten_named, map_named
from jaxcnn.typing import PyTree

#: What a module is told, as an argument of its call or a field, where it is frozen.
_INFERENCE = {
    "train": False,
    "training": False,
    "deterministic": True,
    "use_running_average": True,
}


class Freezing:
    """What a train step does with the parameters that a regular expression names.

    No gradient of them is computed, nor of anything that depends on them alone. A
    module all of whose parameters are frozen is called as in inference: running batch
    statistics, which do not move, and no dropout. A module without parameters goes with
    the one around it; the outermost, the model itself, is never frozen as a whole. This
    works through the paths of any Linen module.

    Args:
        pattern: Regular expression, searched for in names such as `"stem/conv/kernel"`.
        statistics: Whether frozen modules run as in inference; otherwise they are
            called as in training, and their statistics adapt.

    Raises:
        ValueError: if the pattern is no regular expression.
    """

    def __init__(self, pattern: str, *, statistics: bool = True) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"freeze={pattern!r} is no regular expression: {error}."
            ) from None
        self._statistics = statistics

    def stopped(self, params: PyTree) -> PyTree:
        """Returns the parameters; to the frozen ones no gradient flows.

        Raises:
            ValueError: if nothing is frozen.
        """
        names = flatten_named(params)
        if not any(map(self._pattern.search, names)):
            raise ValueError(
                f"freeze={self._pattern.pattern!r} matches none of the parameters: "
                f"{', '.join(names)}."
            )

        def stop(name: str, leaf: Any) -> Any:
            return lax.stop_gradient(leaf) if self._pattern.search(name) else leaf

        return map_named(stop, params)

    @contextlib.contextmanager
    def inference(self, params: PyTree, model_state: PyTree) -> Iterator[None]:
        """Calls frozen modules as in inference while the context lasts."""
        if not self._statistics:
            yield
            return
        with nn.intercept_methods(_Inference(self._frozen_module(params, model_state))):
            yield

    def kept(self, params: PyTree, new: PyTree, old: PyTree) -> PyTree:
        """Returns the new collections, with what is frozen of them as it was.

        Args:
            params: The parameters.
            new: The model's collections after a step.
            old: The same before it.
        """
        if not self._statistics:
            return new
        is_frozen = self._frozen_module(params, old)

        def keep(name: str, leaf: Any, before: Any) -> Any:
            module = tuple(name.split("/")[1:-1])  # without the collection's name
            return before if is_frozen(module) else leaf

        olds = flatten_named(old)
        return map_named(lambda name, x: keep(name, x, olds.get(name, x)), new)

    def _frozen_module(
        self, params: PyTree, model_state: PyTree
    ) -> Callable[[tuple[str, ...]], bool]:
        """Returns a function that tells by its path whether a module is frozen."""
        names = {
            name: self._pattern.search(name) is not None
            for name in flatten_named(params)
        }
        states = {}
        for name in flatten_named(model_state):
            name = name.partition("/")[2]
            states[name] = self._pattern.search(name) is not None

        def below(leaves: dict[str, bool], prefix: str) -> list[bool]:
            return [value for name, value in leaves.items() if name.startswith(prefix)]

        def is_frozen(path: tuple[str, ...]) -> bool:
            if not path:
                return False
            prefix = "/".join(path) + "/"
            own = below(names, prefix) or below(states, prefix)
            return all(own) if own else is_frozen(path[:-1])

        return is_frozen


class _Inference:
    """Tells the modules that are frozen, through their call or fields, not to train."""

    def __init__(self, is_frozen: Callable[[tuple[str, ...]], bool]) -> None:
        self._is_frozen = is_frozen

    def __call__(
        self,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        module = context.module
        if module.scope is None or not self._is_frozen(module.path):
            return call(*args, **kwargs)
        method = getattr(type(module), context.method_name)
        names = list(inspect.signature(method).parameters)[1:]
        args, kwargs, fields = list(args), dict(kwargs), {}
        for name, value in _INFERENCE.items():
            if getattr(module, name, None) is not None:
                fields[name] = value
            elif name in kwargs or name in names[len(args) :]:
                kwargs[name] = value
            elif name in names:
                args[names.index(name)] = value
        with _fields(module, fields):
            return call(*args, **kwargs)


@contextlib.contextmanager
def _fields(module: nn.Module, values: dict[str, Any]) -> Iterator[None]:
    """Gives fields of a bound module, which Linen freezes, other values for a while."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        object.__setattr__(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            object.__setattr__(module, name, value)


def in_phases(
    steps: list[Callable[[Any, Any], Any]], starts: list[int]
) -> Callable[[Any, Any], Any]:
    """Returns a train step that is another one from each start on.

    Which one is a function of `state.step` alone, so that a run resumes exactly. All
    are compiled; at each step only one is run.

    Args:
        steps: Train steps of one kind of state, such as with less and less frozen.
        starts: The update from which on each holds; the first is 0, and they grow.

    Raises:
        ValueError: if the starts do not begin at 0 and grow, or there are not as many.
    """
    ordered = all(a < b for a, b in itertools.pairwise(starts))
    if len(steps) != len(starts) or starts[:1] != [0] or not ordered:
        raise ValueError(
            f"Phases must begin at 0 and follow one another, one for each of the "
            f"{len(steps)} steps, got {starts}."
        )
    if len(steps) == 1:
        return steps[0]

    def step(state: Any, batch: Any) -> Any:
        phase = sum((state.step >= start).astype("int32") for start in starts[1:])
        return lax.switch(phase, steps, state, batch)

    for name in ("axis_name", "donates", "accumulate"):
        setattr(step, name, getattr(steps[0], name))
    return step


__all__ = ["Freezing", "in_phases"]
