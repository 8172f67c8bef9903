"""The hook: what the loop calls, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class Hook:
    """Something that happens around the steps; every method may be overridden.

    Hooks are called in the order in which `fit` got them. Those that write files do so
    in process 0 alone.
    """

    def on_start(self, loop: Loop) -> None:
        """Is called before the first step of this start."""

    def on_step(self, loop: Loop) -> None:
        """Is called after every step was dispatched: it may still be running."""

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Is called with every record: training metrics, or those of an evaluation."""

    def on_report(self, loop: Loop, name: str, values: dict[str, float]) -> None:
        """Is called with what this start says of itself.

        `"compile"` comes before the first step (see `compile_ahead`), `"time"` after
        the last `on_end` (see `Clock.seconds`). Unlike records they differ from start
        to start, and are no part of the run's history.
        """

    def on_end(self, loop: Loop) -> None:
        """Is called after the last step, not after an error."""

    def close(self) -> None:
        """Is called at the very end, also after an error."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what the hook needs to go on after a resume: JSON-able values."""
        return {}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""


def writes_files() -> bool:
    """Returns whether this process is the one that writes logs and pictures."""
    return jax.process_index() == 0


def require_positive(name: str, value: float) -> None:
    """Raises ValueError unless the value is above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}.")
