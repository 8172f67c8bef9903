"""Leaving off amid a step's hooks when a run must end soon, and going on from there.

A signal gives a run seconds. An evaluation may take minutes, so it leaves off. The step
then is half done: its records, and what hooks make of them, are owed. The checkpoint
says by which hook, and the next start calls the hooks from that one on before it goes
on with the next step. So nothing is done twice, and nothing is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from jaxcnn.checkpoint import processes

if TYPE_CHECKING:
    from jaxcnn.train.hooks.base import Hook
    from jaxcnn.train.loop import Loop

_T = TypeVar("_T")
#: Several processes ask each other after so many items whether to leave off.
_AGREE_EVERY = 16


class Interrupted(Exception):
    """Raised by a hook that leaves off; the next start calls it at this step again.

    Attributes:
        hook: The hook.
    """

    def __init__(self, hook: Hook) -> None:
        super().__init__(f"{type(hook).__name__} was interrupted")
        self.hook = hook


def interruptible(loop: Loop, hook: Hook, items: Iterable[_T]) -> Iterator[_T]:
    """Yields the items of a long work of a hook until the run is to end soon.

    Raises:
        Interrupted: if it is; on several processes at the same item.
    """
    for number, item in enumerate(items):
        wanted = loop.interrupted is not None
        if jax.process_count() > 1:
            asked = number % _AGREE_EVERY == _AGREE_EVERY - 1
            wanted = asked and processes.any_process(wanted)
        if wanted:
            raise Interrupted(hook)
        yield item


def owing(advance: Callable[..., None]) -> Callable[..., None]:
    """Returns a method of the loop that calls hooks, which may be interrupted there."""

    @functools.wraps(advance)
    def method(self: Loop, *args: Any) -> None:
        try:
            advance(self, *args)
        except Interrupted as interrupted:
            self.owed = interrupted.hook
            self.stop_reason = self.interrupted or "another process was interrupted"
            self.complete = False

    return method


def owed_values(loop: Loop) -> dict[str, Any]:
    """Returns what to save of a step that is half done; nothing of one that is done."""
    names = {id(hook): name for name, hook in loop.named_hooks()}
    if loop.owed is None:
        return {}
    return {"owed": names[id(loop.owed)], "owed_since": loop.step_before}


def load_owed(loop: Loop, values: Mapping[str, Any]) -> None:
    """Takes up what `owed_values` returned; a hook that is gone owes nothing."""
    loop.owed = dict(loop.named_hooks()).get(values.get("owed", ""))
    loop.step_before = values.get("owed_since", loop.step_before)
