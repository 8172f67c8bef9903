"""Lengths of time in steps, epochs or per cent of a run."""

import re

from jaxcnn.tree import nearest

_UNITS = {
    **dict.fromkeys(("", "step", "steps"), "steps"),
    **dict.fromkeys(("ep", "epoch", "epochs"), "epochs"),
    **dict.fromkeys(("%", "percent"), "%"),
}
_FORM = re.compile(r"(\d+\.?\d*|\.\d+)\s*(%|[a-zA-Z]*)")


def parse_duration(
    value: int | str,
    *,
    total_steps: int,
    steps_per_epoch: int | None = None,
    argument: str = "duration",
) -> int:
    """Returns a duration in steps, rounded to the nearest.

    Args:
        value: A number of steps, or text: `"500"`, `"500 steps"`, `"5 epochs"`,
            `"0.5ep"`, `"10%"` (of `total_steps`).
        total_steps: Length of the run in steps.
        steps_per_epoch: Steps of one pass over the data; needed for epochs only.
        argument: What the duration is of, for the messages.

    Raises:
        ValueError: if the text is no duration, its unit is unknown, or it counts in
            epochs and `steps_per_epoch` is not given.

    Example:
        >>> parse_duration("2.5 epochs", total_steps=1000, steps_per_epoch=20)
        50
        >>> parse_duration("10%", total_steps=1000)
        100
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{argument}={value!r} is not a duration: give steps (500), '5 epochs' or "
            "'10%' of the run."
        )
    number, word = float(match[1]), match[2].lower()
    if word not in _UNITS:
        raise ValueError(
            f"{argument}={value!r} has the unknown unit {word!r}."
            f"{nearest(word, filter(None, _UNITS))} Allowed: steps, epochs, %."
        )
    unit = _UNITS[word]
    if unit == "epochs":
        if steps_per_epoch is None:
            raise ValueError(
                f"{argument}={value!r} counts in epochs: steps_per_epoch is needed."
            )
        return round(number * steps_per_epoch)
    if unit == "%":
        if number > 100:
            raise ValueError(f"{argument}={value!r} is more than the whole run.")
        return round(number / 100 * total_steps)
    if not number.is_integer():
        raise ValueError(f"{argument}={value!r} is not a whole number of steps.")
    return int(number)
