"""Shows a person how the run goes: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

from jaxcnn.train.compilation import describe_compilation
from jaxcnn.train.hooks.base import Hook, require_positive, writes_files
from jaxcnn.train.nonfinite import NONFINITE, describe_event
from jaxcnn.train.throughput import Throughput, describe_throughput
from jaxcnn.train.timing import describe_time

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop

#: Newest steps left unread, so that the bar never makes the device wait.
_LAG = 4


class Progress(Hook):
    """Shows step, loss, metrics, images/s and the time left; a line an evaluation.

    At the start comes a line about the compilation and the memory of a step, at the end
    one about where the time went.

    Args:
        every_seconds: Time between updates; by default 0.2 for a bar, 10 for lines.
        file: Where to; standard error by default.
        bar: Whether to draw a bar; by default, whether `file` is a terminal.
        throughput: What is shown beside images/s.
    """

    def __init__(
        self,
        *,
        every_seconds: float | None = None,
        file: IO[str] | None = None,
        bar: bool | None = None,
        throughput: Throughput | None = None,
    ) -> None:
        self.file = file if file is not None else sys.stderr
        self.is_bar = self.file.isatty() if bar is None else bar
        if every_seconds is None:
            every_seconds = 0.2 if self.is_bar else 10.0
        require_positive("every_seconds", every_seconds)
        self.every_seconds = every_seconds
        self.throughput = throughput or Throughput()
        self._bar: Any = None
        self._shown = self._from = 0.0
        self._rate_from = (0.0, 0)

    def on_start(self, loop: Loop) -> None:
        """Opens the bar."""
        self._shown = self._from = time.monotonic()
        self._rate_from = (self._shown, loop.step)
        if self.is_bar and writes_files():
            from tqdm import tqdm

            self._bar = tqdm(
                total=loop.num_steps,
                initial=loop.step,
                file=self.file,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}% |{bar}| {n}/{total} "
                "[{elapsed} < {remaining}]{postfix}",
            )

    def on_step(self, loop: Loop) -> None:
        """Shows the newest values if it is time to."""
        now = time.monotonic()
        if now - self._shown < self.every_seconds or not writes_files():
            return
        loop.read(lag=_LAG)
        speed = self._speed(loop, now)
        if self._bar is not None:
            self._bar.n = loop.step
            words = [*filter(None, [_words(loop.latest)]), speed]
            self._bar.set_postfix_str(", ".join(words))
        else:
            left = (now - self._from) / max(loop.step - loop.first_step, 1)
            left *= loop.num_steps - loop.step
            self._print(
                f"step {loop.step}/{loop.num_steps}  {_words(loop.latest)}  "
                f"{speed}  {_clock(left)} left"
            )
        self._shown = now

    def on_record(self, loop: Loop, record: dict[str, Any]) -> None:
        """Prints a line for an evaluation, or a step that was not finite."""
        if record["split"] != "train":
            event = record["split"] == NONFINITE
            words = describe_event(record) if event else _words(record)
            self._print(
                f"epoch {record['epoch']:6.2f}  step {record['step']:>6}  "
                + (words if event else f"{record['split']}: {words}")
            )

    def on_report(self, loop: Loop, name: str, values: dict[str, float]) -> None:
        """Prints a line for the compilation and one for the time."""
        if name == "compile":
            self._print(describe_compilation(values))
            # Rates and the time left are those of steps: compilation is told apart.
            self._shown = self._from = time.monotonic()
            self._rate_from = (self._shown, loop.step)
        elif name == "time":
            self._print(f"time: {describe_time(values)}")

    def on_end(self, loop: Loop) -> None:
        """Says why the run ended before its last step."""
        if self._bar is not None:
            self._bar.n = loop.step
            self._bar.refresh()
        if loop.stop_reason is not None:
            self._print(f"stopped after step {loop.step}: {loop.stop_reason}")

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _speed(self, loop: Loop, now: float) -> str:
        """Returns the rate since the last update in words."""
        start, step = self._rate_from
        self._rate_from = (now, loop.step)
        rate = (loop.step - step) * loop.batch_size / max(now - start, 1e-9)
        values = self.throughput.values(rate, loop.devices)
        return describe_throughput(values, loop.devices)

    def _print(self, line: str) -> None:
        if not writes_files():
            return
        if self._bar is not None:
            self._bar.write(line, file=self.file)
        else:
            print(line, file=self.file, flush=True)


def _words(values: dict[str, Any]) -> str:
    hidden = {"step", "epoch", "split", "seconds", "learning_rate", "time"}
    return ", ".join(
        f"{name.replace('_', ' ')} {format_metric(name, value)}"
        for name, value in values.items()
        if name not in hidden
    )


#: How the names of metrics start that are shares of examples.
_SHARES = ("top_", "exact_match", "recall_", "precision_")


def format_metric(name: str, value: float) -> str:
    """Returns a metric as people write it: shares in per cent, PSNR in dB."""
    if name.endswith("accuracy") or name.startswith(_SHARES):
        return f"{100 * value:.2f} %"
    if name == "psnr":
        return f"{value:.2f} dB"
    return f"{value:.4f}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    )
