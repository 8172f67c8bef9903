"""Makes the site show `Example:` sections of docstrings as code."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames `Example:` to `Examples:`, the only name that griffe reads as code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Is called with every object that was read."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", text)
