"""Where the time of a run goes: waiting for input, compiling, steps, hooks."""

import time
from collections.abc import Callable, Mapping
from typing import Any

#: What a hook's own time is kept under.
_HOOK = "hooks/"


class Clock:
    """Seconds by phase of the loop: `"input"`, `"compile"`, `"step"`, hooks by name.

    One phase goes on at a time, and a phase inside another interrupts it, so that the
    phases add up to the whole. Only the host's clock is read: nothing waits for the
    device. Where steps are dispatched ahead, the time of a step therefore appears where
    the host waits for its result, which `Loop.read` counts as `"step"` whichever hook
    asked for it.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._phase = "input"
        self._since = time.perf_counter()

    def switch(self, phase: str) -> str:
        """Starts a phase and returns the one that it ends."""
        now = time.perf_counter()
        before = self._phase
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._phase, self._since = phase, now
        return before

    def timed(self, phase: str, function: Callable[..., Any], *args: Any) -> Any:
        """Calls the function within a phase and returns what it does."""
        before = self.switch(phase)
        try:
            return function(*args)
        finally:
            self.switch(before)

    def hook(self, method: Any, *args: Any) -> None:
        """Calls a method of a hook, whose time goes under the name of its class."""
        self.timed(_HOOK + type(method.__self__).__name__, method, *args)

    @property
    def training_seconds(self) -> float:
        """Time of input and steps so far: what images/s are worked out with."""
        seconds = self.seconds()
        return seconds["input"] + seconds["step"]

    def seconds(self) -> dict[str, float]:
        """Returns the seconds so far: `"seconds"` in all, the phases, hooks by name.

        `"hooks"` is the sum of all hooks; each has its own under `"hooks/Name"`.
        """
        self.switch(self._phase)
        found = {"input": 0.0, "compile": 0.0, "step": 0.0, **self._seconds}
        hooks = {name: found.pop(name) for name in list(found) if _HOOK in name}
        found["hooks"] = sum(hooks.values())
        return {"seconds": sum(found.values()), **found, **hooks}


def describe_time(seconds: Mapping[str, float]) -> str:
    """Returns one line about `Clock.seconds`: compilation apart, the rest in shares.

    Hooks below half a per cent are not named.

    Example:
        >>> describe_time(
        ...     {"seconds": 12, "compile": 2, "input": 0.3, "step": 9.2, "hooks": 0.5}
        ...     | {"hooks/Evaluate": 0.4, "hooks/Progress": 0.04}
        ... )
        '12.0 s: compile 2.0 s, then input 3 %, step 92 %, hooks 5 % (Evaluate 4 %)'
    """
    rest = max(seconds["seconds"] - seconds["compile"], 1e-9)
    hooks = sorted(
        (
            (value / rest, name.removeprefix(_HOOK))
            for name, value in seconds.items()
            if name.startswith(_HOOK) and value / rest >= 0.005
        ),
        reverse=True,
    )
    named = ", ".join(f"{name} {share:.0%}" for share, name in hooks)
    shares = ", ".join(
        f"{name} {seconds[name] / rest:.0%}" for name in ("input", "step", "hooks")
    )
    line = f"{seconds['seconds']:.1f} s: compile {seconds['compile']:.1f} s, then "
    return (line + shares + (f" ({named})" if named else "")).replace("%", " %")
