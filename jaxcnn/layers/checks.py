"""What layers and models ask of their arguments, with messages that say so."""

from collections.abc import Iterable, Sequence
from typing import Any

from jaxcnn.tree import nearest
from jaxcnn.typing import Array


def check_images(images: Array, model: str, min_size: int = 1) -> None:
    """Raises unless `images` is `[batch, height, width, channels]` and large enough.

    Args:
        images: The input of a model.
        model: The model's name, for the message.
        min_size: The shortest side that the model's strides and pools can take.

    Raises:
        ValueError: naming the shape that came and what is needed.
    """
    if images.ndim != 4:
        raise ValueError(
            f"{model} needs images of shape [batch, height, width, channels], "
            f"got shape {tuple(images.shape)}."
        )
    if min(images.shape[1:3]) < min_size:
        raise ValueError(
            f"{model} needs images of at least {min_size}x{min_size}, "
            f"got shape {tuple(images.shape)}."
        )


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raises unless `value` is one of `allowed`.

    Raises:
        ValueError: naming the argument, the value and the allowed ones.
    """
    allowed = list(allowed)
    if value not in allowed:
        hint = nearest(value, map(str, allowed)) if isinstance(value, str) else ""
        raise ValueError(
            f"{name}={value!r} is unknown.{hint} "
            f"Allowed: {', '.join(map(repr, allowed))}."
        )


def check_number(
    name: str,
    value: float,
    minimum: float,
    below: float | None = None,
    *,
    whole: bool = True,
) -> None:
    """Raises unless `value` is a number in `[minimum, below)`, a whole one by default.

    Raises:
        ValueError: naming the argument, the value and the range.
    """
    kinds = int if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or value < minimum or (below is not None and value >= below):
        limit = "" if below is None else f" and less than {below}"
        kind = "a whole number" if whole else "a number"
        raise ValueError(
            f"{name} must be {kind} of at least {minimum}{limit}, got {value!r}."
        )


def check_numbers(name: str, values: Any, minimum: int) -> None:
    """Raises unless `values` is a sequence of whole numbers of at least `minimum`.

    Raises:
        ValueError: naming the argument and the value.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must be a sequence of whole numbers, got {values!r}.")
    for value in values:
        check_number(name, value, minimum)


def check_rows(name: str, rows: Any, columns: Sequence[str]) -> None:
    """Raises unless `rows` holds rows of whole numbers from 1, one for each column.

    Raises:
        ValueError: naming the argument, the columns and the row.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise ValueError(f"{name} must be a sequence of rows, got {rows!r}.")
    for row in rows:
        if not isinstance(row, Sequence) or len(row) != len(columns):
            raise ValueError(f"{name} must hold ({', '.join(columns)}), got {row!r}.")
        check_numbers(name, row, 1)
