"""Batches: endless and shuffled for training, each example once for evaluation."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from jaxcnn.data.randomness import Stream, check_seed, generator
from jaxcnn.data.sampling import check_sampling, sampled_order
from jaxcnn.data.source import Source

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False)
class TrainData:
    """Training batches by number: `data[k]` depends on the seed and `k` only.

    Epoch `k // steps_per_epoch` is a fresh permutation of the examples cut into full
    batches; what does not fill a batch is left to later epochs. So a run resumed at
    step k sees what it would have seen. Safe to use from several threads.

    Attributes:
        source: The examples.
        batch_size: Of the global batch, over all processes.
        seed: Chooses the order, from 0 to 2**64 - 1.
        process_index: Which contiguous share of each batch to give, from 0; JAX's own
            numbers if None. Given together with `process_count`.
        process_count: How many processes share a batch.
        shuffle: False keeps the source's order in every epoch.
        sampling: How often each class is drawn: `"uniform"`, as often as it occurs;
            `"balanced"`, all alike; `"sqrt"`, between the two. See `sampled_order`.
        numbered: Whether batches say which examples they hold: `"index"`, where each
            stands in the source, and `"epoch"`, both int32 `[B]`.

    Raises:
        ValueError: if the source is not fit for training (see `Source.validate`), or
            the batch cannot be shared by the processes.

    Example:
        >>> images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
        >>> data = TrainData(Source("six", images), batch_size=2, seed=0)
        >>> data.steps_per_epoch, data[0]["image"].shape
        (3, (2, 1, 1, 1))
    """

    source: Source
    batch_size: int
    seed: int = 0
    process_index: int | None = None
    process_count: int | None = None
    shuffle: bool = True
    sampling: str = "uniform"
    numbered: bool = False

    def __post_init__(self):
        check_seed(self.seed)
        # A source read lazily may have to be gone through for its labels.
        labels = None if self.sampling == "uniform" else self.source.labels
        check_sampling(self.sampling, labels, self.shuffle)
        self._share = _share(self.batch_size, self.process_index, self.process_count)
        self.source.validate()
        self._order = (-1, np.empty(0, np.int64))

    # Without this Python would iterate over `data[0], data[1], ...` and never end.
    __iter__ = None

    @property
    def steps_per_epoch(self) -> int:
        """The number of full batches in an epoch.

        Raises:
            ValueError: if there is not even one.
        """
        steps = len(self.source) // self.batch_size
        if steps == 0:
            raise ValueError(
                f"batch_size is {self.batch_size}, but split {self.source.split!r} of "
                f"{self.source.name!r} has only {len(self.source)} examples"
            )
        return steps

    def __getitem__(self, k: int) -> Arrays:
        """Returns this process's share of batch `k`, for any `k` from 0.

        Raises:
            ValueError: if `k` is negative or a batch is larger than the data.
        """
        epoch = max(k, 0) // self.steps_per_epoch
        positions = self.positions(k)
        batch = self.source.batch(positions, seed=self.seed, epoch=epoch)
        if not self.numbered:
            return batch
        numbers = {"index": positions.astype(np.int32)}
        return {**batch, **numbers, "epoch": np.full_like(numbers["index"], epoch)}

    def positions(self, k: int) -> np.ndarray:
        """Returns where the examples of this process's share of batch `k` stand.

        Raises:
            ValueError: if `k` is negative or a batch is larger than the data.
        """
        if k < 0:
            raise ValueError(f"batch number is {k}, expected 0 or more")
        epoch, step = divmod(int(k), self.steps_per_epoch)
        first = step * self.batch_size
        order = self._epoch_order(epoch)[first : first + self.batch_size]
        return order[self._share]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Returns the permutation of an epoch, kept until another one is asked for."""
        if not self.shuffle:
            return np.arange(len(self.source))
        # One name for the pair: another thread may put in another epoch at any time.
        kept, order = self._order
        if kept != epoch and self.sampling != "uniform":
            draws = self.steps_per_epoch * self.batch_size
            labels = self.source.labels
            order = sampled_order(labels, draws, self.sampling, self.seed, epoch)
            self._order = (epoch, order)
        elif kept != epoch:
            rng = generator(self.seed, epoch, Stream.ORDER)
            order = rng.permutation(len(self.source))
            self._order = (epoch, order)
        return order

    def eval_batches(self, batch_size: int | None = None) -> "EvalData":
        """Returns the same examples for evaluation, each once.

        Args:
            batch_size: Of the global batch; that of training if None.
        """
        return EvalData(
            self.source,
            self.batch_size if batch_size is None else batch_size,
            self.process_index,
            self.process_count,
        )


@dataclasses.dataclass(eq=False)
class EvalData:
    """Every example once, in order, in batches of one size; iterate as often as needed.

    The last batch is filled up with copies of the last example. `mask` (float32 `[B]`)
    is 1 on examples and 0 on such copies.

    Attributes:
        source: The examples.
        batch_size: Of the global batch, over all processes.
        process_index: Which contiguous share of each batch to give, from 0; JAX's own
            numbers if None. Given together with `process_count`.
        process_count: How many processes share a batch.

    Raises:
        ValueError: if the batch cannot be shared by the processes.
    """

    source: Source
    batch_size: int
    process_index: int | None = None
    process_count: int | None = None

    def __post_init__(self):
        self._share = _share(self.batch_size, self.process_index, self.process_count)

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __iter__(self) -> Iterator[Arrays]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, k: int) -> Arrays:
        """Returns this process's share of batch `k`.

        Raises:
            IndexError: if there is no such batch.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"batch number is {k}, there are {len(self)}")
        first = k * self.batch_size
        position = np.arange(first, first + self.batch_size)[self._share]
        last = len(self.source) - 1
        batch = self.source.batch(np.minimum(position, last))
        # A lazily decoded source masks what it could not decode.
        mask = (position <= last) * batch.get("mask", np.float32(1))
        return {**batch, "mask": mask.astype(np.float32)}


def _share(batch_size: int, index: int | None, count: int | None) -> slice:
    """Returns which rows of a global batch belong to a process.

    Raises:
        ValueError: if the sizes do not allow it.
    """
    if (index is None) != (count is None):
        raise ValueError(
            f"process_index is {index} and process_count is {count}: give both or none"
        )
    if index is None or count is None:
        index, count = jax.process_index(), jax.process_count()
    if not 0 <= index < count:
        raise ValueError(f"process_index is {index}, expected 0 to {count - 1}")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
    if batch_size % count:
        raise ValueError(
            f"batch_size is {batch_size}, which {count} processes cannot share equally"
        )
    rows = batch_size // count
    return slice(index * rows, (index + 1) * rows)
