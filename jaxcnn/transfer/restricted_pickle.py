"""Pickles of plain containers, read without ever calling what a pickle names.

Python's own reader runs any function that a file asks for. This one interprets the few
instructions of which lists, dictionaries, numbers and strings are made, and hands the
names of functions and classes to the caller, who knows a handful and refuses the rest.
"""

import dataclasses
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

_MARK = object()

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING "
    "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
    "SHORT_BINBYTES BINBYTES8".split()
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset({"PROTO", "FRAME"})
_DAMAGE = (ValueError, TypeError, LookupError, OverflowError, RuntimeError, MemoryError)
_PLAIN = (str, bytes, int, float, type(None))


@dataclasses.dataclass(frozen=True)
class Known:
    """A name that a pickle may use.

    Attributes:
        name: As the pickle writes it, `"module.attribute"`.
        make: What calling it gives; None if it may only be mentioned.
    """

    name: str
    make: Callable[..., Any] | None = None


class RefusedError(ValueError):
    """The pickle asks for something that a file of weights does not need."""


def read_pickle(
    file: BinaryIO,
    find: Callable[[str], Known],
    persistent: Callable[[Any], Any],
) -> Any:
    """Returns the object of the next pickle of a file, which is left at its end.

    Args:
        file: At the beginning of a pickle; anything with `read`, `readline`, `tell`.
        find: Returns what a name stands for, or raises `RefusedError`.
        persistent: Returns what a persistent id stands for.

    Raises:
        RefusedError: for names and instructions that are not allowed.
        ValueError: if the pickle is damaged.
    """
    machine = _Machine(find, persistent)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            if instruction.name == "STOP":
                return machine.stack.pop()
            machine.step(instruction.name, argument)
    except RefusedError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"its pickle is damaged ({error})") from error
    raise ValueError("its pickle is damaged (it has no end)")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(
        self, find: Callable[[str], Known], persistent: Callable[[Any], Any]
    ) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.find = find
        self.persistent = persistent

    def step(self, name: str, argument: Any) -> None:
        """Carries out one instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._tuple(_TUPLES[name])
        elif (action := _ACTIONS.get(name)) is not None:
            action(self, argument)
        elif name not in _NOTHING:
            raise RefusedError(
                f"its pickle holds the instruction {name}, which weights do not need"
            )

    def _since_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise ValueError("a mark is missing")

    def _tuple(self, length: int) -> None:
        items = tuple(self.stack[-length:])
        if len(items) != length:
            raise ValueError("the stack is too short")
        self.stack[-length:] = [items]

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _marked_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _marked_list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _marked_dict(self, _: Any) -> None:
        self.stack.append(dict(_pairs(self._since_mark())))

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        _checked(self.stack[-1], list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        _checked(self.stack[-1], list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _checked(self.stack[-1], dict)[checked_key(key)] = value

    def _set_items(self, _: Any) -> None:
        items = self._since_mark()
        _checked(self.stack[-1], dict).update(_pairs(items))

    def _global(self, argument: str) -> None:
        # The two lines of the instruction, joined by a blank.
        self.stack.append(self.find(".".join(argument.split(" ", 1))))

    def _stack_global(self, _: Any) -> None:
        attribute = _checked(self.stack.pop(), str)
        module = _checked(self.stack.pop(), str)
        self.stack.append(self.find(f"{module}.{attribute}"))

    def _reduce(self, _: Any) -> None:
        arguments = _checked(self.stack.pop(), tuple)
        function = _checked(self.stack.pop(), Known)
        if function.make is None:
            raise RefusedError(f"its pickle calls {function.name}")
        self.stack.append(function.make(*arguments))

    def _build(self, _: Any) -> None:
        # A state dict carries the versions of its modules as an attribute: not needed.
        _checked(self.stack.pop(), dict)
        if not isinstance(self.stack[-1], OrderedDict):
            kind = type(self.stack[-1]).__name__
            raise RefusedError(f"its pickle sets attributes of a {kind}")

    def _persistent_id(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    keys = map(checked_key, items[::2])
    return list(zip(keys, items[1::2], strict=True))


def checked_key(key: Any) -> Any:
    """Returns a dictionary's key if it is a plain value, or a tuple of such.

    The hash of tuples in tuples takes a level of C's stack for each, without end, so
    that a deep one ends the process.

    Raises:
        ValueError: if it is anything else.
    """
    items = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(item, (*_PLAIN, Known)) for item in items):
        raise ValueError(f"a {type(key).__name__} of other things is a key")
    return key


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


_ACTIONS = {
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "POP": _Machine._pop,
    "POP_MARK": _Machine._pop_mark,
    "MARK": _Machine._mark,
    "TUPLE": _Machine._marked_tuple,
    "LIST": _Machine._marked_list,
    "DICT": _Machine._marked_dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent_id,
}
