"""What layers and models ask of their arguments, with messages that say so."""

from collections.abc import Iterable, Sequence
from typing import Any

from jaxcnn.tree import nearest
from jaxcnn.typing import Array

#: What an input with one, two or three spatial axes is called, and its axes.
KINDS = {
    1: ("sequences", "[batch, length, channels]"),
    2: ("images", "[batch, height, width, channels]"),
    3: ("volumes", "[batch, depth, height, width, channels]"),
}


def check_images(images: Array, model: str, min_size: int = 1, rank: int = 2) -> None:
    """Raises unless `images` is `[batch, height, width, channels]` and large enough.

    Args:
        images: The input of a model.
        model: The model's name, for the message.
        min_size: The shortest side that the model's strides and pools can take.
        rank: The spatial axes that the model takes: 1 for sequences, `[batch, length,
            channels]`; 3 for volumes, `[batch, depth, height, width, channels]`.

    Raises:
        ValueError: naming the shape that came and what is needed.
    """
    kind, axes = KINDS[rank]
    if images.ndim != rank + 2:
        raise ValueError(
            f"{model} needs {kind} of shape {axes}, got shape {tuple(images.shape)}."
        )
    if min(images.shape[1:-1]) < min_size:
        least = "x".join([str(min_size)] * rank)
        raise ValueError(
            f"{model} needs {kind} of at least {least}, "
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
