"""Calls that take turns in one process, for what is no matter of thread pools."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def interleave(calls: Mapping[Any, Callable[[], Any]], rounds: int) -> dict[Any, list]:
    """Returns the seconds that each call took, one of each in every round.

    Every call is made once before, untimed.
    """
    for call in calls.values():
        call()
    found: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - start)
    return found


def spread(values: list[float], digits: int = 4) -> dict[str, Any]:
    """Returns the median and the quartiles of two or more values."""
    low, middle, high = (
        float(f"{value:.{digits}g}") for value in statistics.quantiles(values, n=4)
    )
    return {"median": middle, "quartiles": [low, high]}
