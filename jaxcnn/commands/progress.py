"""Shows a person how far a long command is: a bar in a terminal, else plain lines."""

import datetime
import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO, TypeVar

_T = TypeVar("_T")


def shown(
    items: Iterable[_T],
    total: int,
    what: str,
    *,
    file: IO[str] | None = None,
    bar: bool | None = None,
    every_seconds: float = 10.0,
) -> Iterator[_T]:
    """Yields the items, and shows how many there were and how long it will take.

    Args:
        items: Anything to go through.
        total: How many there are.
        what: What they are, such as `"files"`.
        file: Where to; standard error by default.
        bar: Whether to draw a bar; by default, whether `file` is a terminal.
        every_seconds: Time between lines, where there is no bar.
    """
    file = sys.stderr if file is None else file
    if file.isatty() if bar is None else bar:
        from tqdm import tqdm

        yield from tqdm(items, total=total, file=file, unit=f" {what}")
        return
    began = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= every_seconds and count < total:
            last = now
            rate = count / (now - began)
            left = datetime.timedelta(seconds=round((total - count) / rate))
            line = f"{count:,} of {total:,} {what}, {rate:.0f} a second, {left} left"
            print(line, file=file, flush=True)
