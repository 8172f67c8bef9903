"""One number for every axis, or one for each: how the arguments are read."""

from collections.abc import Callable, Sequence
from typing import Any


def is_single(value: Any) -> bool:
    """Tells whether a value stands for every axis: a number, or a word."""
    return isinstance(value, str) or not isinstance(value, Sequence)


def count_axes(axes: int | None = None, **values: Any) -> int | None:
    """Returns how many axes the values speak of; `None` if each is one number.

    Args:
        axes: The number of axes, if the caller knows it.
        **values: Numbers, or sequences with one entry for each axis.

    Raises:
        ValueError: if two of them speak of different numbers of axes, or one is empty.
    """
    lengths = {name: len(v) for name, v in values.items() if not is_single(v)}
    if axes is not None:
        lengths = {"axes": axes, **lengths}
    if len(set(lengths.values())) > 1:
        told = " and ".join(f"{name} of {n}" for name, n in lengths.items())
        raise ValueError(f"The arguments speak of different numbers of axes: {told}.")
    return next(iter(lengths.values()), None)


def each_axis(value: Any, axes: int) -> tuple[Any, ...]:
    """Returns one value for each axis, of one for all or one for each."""
    return (value,) * axes if is_single(value) else tuple(value)


def per_axis(function: Callable[..., int], **values: Any) -> Any:
    """Returns `function(**values)`, or a tuple of its results with one for each axis.

    Example:
        >>> per_axis(lambda a, b: a + b, a=1, b=10)
        11
        >>> per_axis(lambda a, b: a + b, a=(1, 2), b=10)
        (11, 12)
    """
    axes = count_axes(**values)
    if axes is None:
        return function(**values)
    columns = {name: each_axis(value, axes) for name, value in values.items()}
    return tuple(
        function(**{name: column[axis] for name, column in columns.items()})
        for axis in range(axes)
    )


def known_axes(axes: int | None, **values: Any) -> int:
    """Returns how many axes the values speak of.

    Raises:
        ValueError: if that is not known, as each is one number.
    """
    count = count_axes(axes, **values)
    if count is None:
        names = " and ".join(f"{name}={value!r}" for name, value in values.items())
        raise ValueError(
            f"{names} do not tell the number of axes: give one number for each axis, "
            "or axes=2."
        )
    return count


def check_at_least(minimum: int, **values: int) -> None:
    """Raises unless every value is a whole number of at least `minimum`.

    Raises:
        ValueError: naming the argument and the value.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} must be a whole number, got {value!r}.")
        if value < minimum:
            limit = "not be negative" if minimum == 0 else f"be at least {minimum}"
            raise ValueError(f"{name} must {limit}, got {value}.")


def check_all_at_least(minimum: int, **values: int | Sequence[int]) -> None:
    """The same for values of which each may be one number for each axis.

    Raises:
        ValueError: naming the argument and the value.
    """
    for name, value in values.items():
        for number in value if isinstance(value, Sequence) else (value,):
            check_at_least(minimum, **{name: number})
