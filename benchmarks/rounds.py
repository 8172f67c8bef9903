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


def quartiles(values: list[float]) -> list[float]:
    """Returns the lower quartile, the median and the upper quartile of two or more.

    None is beyond what was measured: the smallest and the largest are the ends.
    """
    return statistics.quantiles(values, n=4, method="inclusive")


def spread(values: list[float], digits: int = 4) -> dict[str, Any]:
    """Returns the median and the quartiles of two or more values."""
    low, middle, high = (float(f"{value:.{digits}g}") for value in quartiles(values))
    return {"median": middle, "quartiles": [low, high]}
