"""Shows a person how far a style transfer is."""

import sys
import time
from typing import IO, Any

from jaxcnn.interpret.style import StyleStep


class StyleProgress:
    """A bar in a terminal, plain lines elsewhere: give it as `on_step`.

    Use it in a `with` statement, which ends the bar.

    Args:
        file: Where to; standard error by default.
        bar: Whether to draw a bar; by default, whether `file` is a terminal.
        every_seconds: Time between lines, where there is no bar.
    """

    def __init__(
        self,
        *,
        file: IO[str] | None = None,
        bar: bool | None = None,
        every_seconds: float = 10.0,
    ) -> None:
        self.file = sys.stderr if file is None else file
        self.is_bar = self.file.isatty() if bar is None else bar
        self.every_seconds = every_seconds
        self._bar: Any = None
        self._shown = time.monotonic()

    def __call__(self, now: StyleStep) -> None:
        """Shows a step, its picture's size and the losses without their weights."""
        names = ("total", "content", "style")
        words = ", ".join(f"{name} {now.losses[name]:.4g}" for name in names)
        size = "x".join(map(str, now.shape))
        if self.is_bar:
            self._draw(now, f"{size}, {words}")
        elif time.monotonic() - self._shown >= self.every_seconds:
            self._shown = time.monotonic()
            line = f"step {now.step}/{now.steps}  {size}  {words}"
            print(line, file=self.file, flush=True)

    def __enter__(self) -> "StyleProgress":
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, now: StyleStep, words: str) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=now.steps, file=self.file, unit=" steps")
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(now.step - self._bar.n)
