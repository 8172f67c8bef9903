"""Looks into the layers every now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from etils import epath

from jaxcnn.train.hooks.base import Hook, require_positive, writes_files
from jaxcnn.train.hooks.records import JsonLines, read_metrics
from jaxcnn.train.state import TrainState
from jaxcnn.train.statistics import Statistics, compiled_statistics
from jaxcnn.typing import Batch

if TYPE_CHECKING:
    from jaxcnn.train.loop import Loop


class LayerStatistics(Hook):
    """Writes what happens in every layer, every `every` steps, and draws it at the end.

    The numbers are those of the state as it is after the step, on the batch that the
    step took; they come from a function of their own, compiled once, so the train step
    stays as it is and the run's numbers too. One look costs about two steps.

    Lines of JSON, `{"step": 100, "epoch": 0.5, "layers": {path: {name: value}}}`, one
    file a start as with `JsonLines`; `read_metrics(directory)` reads them as one.

    Args:
        statistics: From `make_layer_statistics`.
        directory: Where the lines go.
        every: Steps between looks.
        picture: A file to draw all of them into when a start ends.
        title: Stands above the picture.
    """

    def __init__(
        self,
        statistics: Callable[[TrainState, Batch], Statistics],
        directory: epath.PathLike,
        *,
        every: int = 100,
        picture: epath.PathLike | None = None,
        title: str | None = None,
    ) -> None:
        require_positive("every", every)
        self.every = every
        self.picture = picture
        self.title = title
        self._statistics = compiled_statistics(statistics)
        self._lines = JsonLines(directory)

    def on_start(self, loop: Loop) -> None:
        """Opens this start's file."""
        self._lines.on_start(loop)

    def on_step(self, loop: Loop) -> None:
        """Looks where it is due."""
        if not loop.due(self.every):
            return
        loop.read()  # the wait for the steps before is theirs
        layers = self._statistics(loop.state, loop.batch)
        record: dict[str, Any] = {"step": loop.step, "epoch": loop.epoch}
        self._lines.on_record(loop, {**record, "layers": layers})

    def on_end(self, loop: Loop) -> None:
        """Draws what all starts saw."""
        from jaxcnn.plotting import layer_heat_maps

        self._lines.close()
        records = read_metrics(self._lines.directory)
        if self.picture is not None and writes_files() and records:
            layer_heat_maps(self.picture, records, title=self.title)

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()
