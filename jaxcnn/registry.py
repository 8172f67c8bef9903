"""Models by name: one dictionary, filled by a decorator, read by three functions."""

import dataclasses
import fnmatch
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

from flax import linen as nn

from jaxcnn.tree import nearest

Constructor = Callable[..., nn.Module]


@dataclasses.dataclass(frozen=True)
class _Entry:
    constructor: Constructor
    kind: str


_MODELS: dict[str, _Entry] = {}

# Every Linen module has these fields; Linen itself fills them.
_LINEN_FIELDS = frozenset({"parent", "name"})


def register_model(
    constructor: Constructor | None = None,
    *,
    kind: str = "classifier",
    name: str | None = None,
) -> Any:
    """Registers a constructor, or a Linen class, under its own name.

    A constructor that takes `**kwargs` is understood to hand them to the module class
    that it is annotated to return: that class's fields are its keywords.

    Args:
        constructor: A function that returns a Linen module, or a Linen class.
        kind: What the model returns: `"classifier"`, `"autoencoder"` or a kind of
            your own.
        name: The name to register; that of the function or class by default.

    Returns:
        The constructor itself, or a decorator where only keywords are given.

    Raises:
        ValueError: if the name already stands for another constructor. Defining the
            same function again, as a notebook does, replaces it.

    Example:
        >>> @register_model
        ... class TwoLayers(nn.Module):
        ...     hidden: int = 8
        >>> create_model("TwoLayers", hidden=16).hidden
        16
    """

    def register(constructor: Constructor) -> Constructor:
        key = name or constructor.__name__
        known = _MODELS.get(key)
        if known is not None and _origin(known.constructor) != _origin(constructor):
            raise ValueError(
                f"Model {key!r} is already registered by {_origin(known.constructor)}; "
                f"{_origin(constructor)} needs another name."
            )
        _MODELS[key] = _Entry(constructor, kind)
        return constructor

    return register if constructor is None else register(constructor)


def create_model(name: str, /, **kwargs: Any) -> nn.Module:
    """Returns the module registered as `name`; it holds no arrays yet.

    Args:
        name: One of `list_models()`.
        **kwargs: The model's own options. Lists, as JSON gives them, become tuples.

    Raises:
        ValueError: if the name or a keyword is unknown (the nearest valid one is
            named), a keyword is fixed by this model, or a required one is missing.
    """
    constructor = _entry(name).constructor
    keywords, required = _keywords(constructor)
    for keyword in kwargs:
        if keyword not in keywords:
            allowed = [k for k in keywords if not _is_fixed(constructor, k)]
            raise ValueError(
                f"Model {name!r} has no keyword {keyword!r}."
                f"{nearest(keyword, allowed)} Allowed: {', '.join(allowed)}."
            )
        if _is_fixed(constructor, keyword):
            raise ValueError(
                f"Model {name!r} fixes {keyword!r} itself; it cannot be given. "
                f"Build {_returned(constructor).__name__} directly to choose it."
            )
    missing = [keyword for keyword in required if keyword not in kwargs]
    if missing:
        raise ValueError(f"Model {name!r} needs the keyword {missing[0]!r}.")
    return constructor(**{key: _frozen(value) for key, value in kwargs.items()})


def list_models(pattern: str = "*", kind: str | None = None) -> list[str]:
    """Returns the registered names in natural order.

    Args:
        pattern: A shell pattern, such as `"resnet*"`.
        kind: Only models of this kind; all by default.

    Raises:
        ValueError: if no model is of that kind.
    """
    kinds = sorted({entry.kind for entry in _MODELS.values()})
    if kind is not None and kind not in kinds:
        raise ValueError(
            f"Unknown kind {kind!r}.{nearest(kind, kinds)} Kinds: {', '.join(kinds)}."
        )
    names = fnmatch.filter(_MODELS, pattern)
    return _natural(n for n in names if kind in (None, _MODELS[n].kind))


def model_kind(name: str) -> str:
    """Returns the kind of a registered model, such as `"classifier"`.

    Raises:
        ValueError: if the name is unknown.
    """
    return _entry(name).kind


def _entry(name: str) -> _Entry:
    if name not in _MODELS:
        raise ValueError(
            f"Unknown model {name!r}.{nearest(name, _MODELS)} "
            f"Models: {', '.join(_natural(_MODELS)) or 'none'}."
        )
    return _MODELS[name]


def _origin(constructor: Constructor) -> str:
    return f"{constructor.__module__}.{constructor.__qualname__}"


def _natural(names: Iterable[str]) -> list[str]:
    """Sorts `resnet18` before `resnet101`."""

    def key(name: str) -> list[tuple[int, str]]:
        parts = re.findall(r"\d+|\D+", name)
        return [(int(part) if part.isdecimal() else -1, part) for part in parts]

    return sorted(names, key=key)


def _returned(constructor: Constructor) -> type:
    """Returns the module class: the constructor itself or what it says it returns."""
    if inspect.isclass(constructor):
        return constructor
    return typing.get_type_hints(constructor).get("return", nn.Module)


def _keywords(constructor: Constructor) -> tuple[list[str], list[str]]:
    """Returns the keywords that a constructor may be given, and those it must."""
    allowed, required = [], []
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            returned = _returned(constructor)
            if dataclasses.is_dataclass(returned):
                allowed += [f.name for f in dataclasses.fields(returned) if f.init]
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            allowed.append(parameter.name)
            if parameter.default is parameter.empty:
                required.append(parameter.name)
    unique = dict.fromkeys(name for name in allowed if name not in _LINEN_FIELDS)
    return list(unique), required


def _is_fixed(constructor: Constructor, keyword: str) -> bool:
    """Tells whether the constructor itself hands `keyword` to its module class."""
    if keyword in inspect.signature(constructor).parameters:
        return False
    try:
        constructor(**{keyword: None})
    except Exception as error:  # anything else is the module not liking None
        return f"multiple values for keyword argument {keyword!r}" in str(error)
    return False


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
