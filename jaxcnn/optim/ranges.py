"""Checks of numbers and regular expressions, with messages that name the argument."""

import re


def check_range(
    argument: str,
    value: float,
    *,
    low: float,
    high: float = float("inf"),
    open_low: bool = False,
) -> None:
    """Raises unless `value` is in [low, high), or in (low, high) with `open_low`.

    Raises:
        ValueError: naming the argument, the value and the range.
    """
    if not low <= value < high or (open_low and value == low):
        bounds = f"{'>' if open_low else '>='} {low}"
        bounds += f" and < {high}" if high < float("inf") else ""
        raise ValueError(f"{argument}={value} must be {bounds}.")


def check_factor(argument: str, value: float) -> None:
    """Raises unless `value` is in [0, 1].

    Raises:
        ValueError: naming the argument and the value.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{argument}={value} is not between 0 and 1.")


def compiled(argument: str, pattern: str) -> re.Pattern[str]:
    """Returns the compiled regular expression.

    Raises:
        ValueError: if it is none, naming the argument.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{argument}={pattern!r} is not a regular expression: {error}."
        ) from error
