"""Functions chosen by name, as a config does, with errors that say what was meant."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxcnn.tree import nearest


def call_named(
    kind: str,
    table: Mapping[str, Callable[..., Any]],
    name: str,
    /,
    *args: Any,
    **options: Any,
) -> Any:
    """Returns `table[name](*args, **options)`.

    Args:
        kind: What the functions make, for the messages: `"optimizer"`.
        table: The functions by name.
        name: One of the names.
        *args: What the caller gives to every function of the table.
        **options: What the user gives to this one.

    Raises:
        ValueError: if the name or an option is unknown (the nearest is named), or a
            needed option is missing or of another type.

    Example:
        >>> call_named("number", {"power": lambda x, *, to=2: x**to}, "power", 3, to=3)
        27
    """
    if name not in table:
        raise ValueError(
            f"Unknown {kind} {name!r}.{nearest(str(name), table)} "
            f"Allowed: {', '.join(sorted(table))}."
        )
    parameters = list(inspect.signature(table[name]).parameters.values())[len(args) :]
    allowed = {parameter.name: parameter for parameter in parameters}
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"The {kind} {name!r} has no argument {option!r}."
                f"{nearest(option, allowed)} "
                f"Allowed: {', '.join(allowed) or 'no arguments'}."
            )
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in options:
            raise ValueError(
                f"The {kind} {name!r} needs the argument {parameter.name!r}."
            )
    try:
        return table[name](*args, **options)
    except TypeError as error:  # a word for a number, a number for a list
        raise ValueError(
            f"The {kind} {name!r} cannot take {options}: {error}."
        ) from error
