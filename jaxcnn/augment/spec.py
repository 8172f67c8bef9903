"""Specs: a name and its arguments as one word of a configuration."""

import ast
from typing import Any


def parse_spec(kind: str, spec: str, examples: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and arguments in `"name"` or `"name(argument=value)"`.

    Args:
        kind: What is named, for the message.
        spec: The text.
        examples: Of what may stand there, for the message.

    Raises:
        ValueError: if the text is neither.
    """
    try:
        node = ast.parse(spec.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            options = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            if not node.args and None not in options:
                return node.func.id, options
    except (SyntaxError, ValueError):
        pass
    raise ValueError(
        f"{kind.capitalize()} {spec!r} cannot be read: write a name, with arguments by "
        f"name where it takes any, such as {examples}."
    )
