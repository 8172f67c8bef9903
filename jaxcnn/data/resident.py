"""Training data whole on the device: batches are gathered there, by number."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcnn.data.pipeline import Arrays, TrainData
from jaxcnn.data.source import Source


class ResidentData:
    """The batches of a `TrainData`, made on the device from examples that lie there.

    What travels for a step is the numbers of its examples. Order and content are those
    of `data`: a run may go on with the one where it stopped with the other. `fit` makes
    calls of several steps with it, see `make_steps`.

    Attributes:
        data: The batches on the host; `resident[k]` is `data[k]`.
        steps_per_call: Steps of one call, or None for one step on CPUs and an epoch on
            accelerators. Calls also end with each epoch.

    Args:
        data: Of a source in memory, in one process.
        steps_per_call: See above.

    Raises:
        ValueError: if the examples are not in memory, several processes share the
            batches, or `steps_per_call` is below 1.

    Example:
        >>> images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
        >>> data = ResidentData(TrainData(Source("six", images), batch_size=2))
        >>> rows = data.rows(0, 3)
        >>> rows["index"].shape, rows["epoch"].tolist()
        ((3, 2), [0, 0, 0])
    """

    def __init__(self, data: TrainData, steps_per_call: int | None = None) -> None:
        source = getattr(data, "source", None)
        if not isinstance(data, TrainData) or not isinstance(source, Source):
            raise ValueError(
                "Resident data are made of a TrainData whose source is in memory, got "
                f"{type(data).__name__} of {type(source).__name__}."
            )
        if jax.process_count() > 1 or data.process_count not in (None, 1):
            raise ValueError("Resident data are for one process; give fit TrainData.")
        if steps_per_call is not None and steps_per_call < 1:
            raise ValueError(f"steps_per_call must be 1 or more, got {steps_per_call}.")
        self.data = data
        self.steps_per_call = steps_per_call
        self._placed: Any = None

    # Without this Python would iterate over `data[0], data[1], ...` and never end.
    __iter__ = None

    @property
    def source(self) -> Source:
        """The examples, on the host."""
        return self.data.source

    @property
    def steps_per_epoch(self) -> int:
        """The number of full batches in an epoch."""
        return self.data.steps_per_epoch

    @property
    def batch_size(self) -> int:
        """Examples in a batch."""
        return self.data.batch_size

    @property
    def seed(self) -> int:
        """Chooses the order."""
        return self.data.seed

    @property
    def numbered(self) -> bool:
        """Whether batches say which examples they hold."""
        return self.data.numbered

    def __getitem__(self, k: int) -> Arrays:
        """Returns batch `k`, on the host."""
        return self.data[k]

    def eval_batches(self, batch_size: int | None = None) -> Any:
        """Returns the same examples for evaluation, see `TrainData.eval_batches`."""
        return self.data.eval_batches(batch_size)

    def rows(self, start: int, count: int) -> Arrays:
        """Returns which examples the batches from `start` on hold.

        Args:
            start: The first batch.
            count: How many.

        Returns:
            `"index"`, int32 `[count, batch]`, and `"epoch"`, int32 `[count]`.
        """
        steps = range(start, start + count)
        return {
            "index": np.stack([self.data.positions(k) for k in steps]).astype(np.int32),
            "epoch": np.array([k // self.steps_per_epoch for k in steps], np.int32),
        }

    def examples(
        self, place: Callable[[Any], Any] = jax.device_put
    ) -> dict[str, jax.Array]:
        """Returns all examples on the device, sent there by the first call.

        Args:
            place: Sends a tree of arrays.
        """
        if self._placed is None:
            source = self.source
            arrays = {"image": source.images, "label": source.labels, **source.extras}
            known = {name: rows for name, rows in arrays.items() if rows is not None}
            self._placed = place(known)
        return self._placed
