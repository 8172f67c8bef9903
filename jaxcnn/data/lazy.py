"""Images that are decoded when a batch asks for them: data too large for memory."""

import copy
import hashlib
import os
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from jaxcnn.data.crops import Crop, ResizeCrop, Stretch
from jaxcnn.data.decoded import KeptImages, keep_decoded
from jaxcnn.data.decoding import Decoder, FilePart
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.records import Relabelled
from jaxcnn.data.source import Source
from jaxcnn.data.targets import Targets
from jaxcnn.tree import nearest

#: Images whose pixels stand for those of all in `channel_stats`.
_SAMPLE = 1024
#: Broken examples in a row after which it is the storage that is broken.
_BROKEN_IN_A_ROW = 64
ON_BROKEN = ("error", "skip")


class Records(Protocol):
    """Encoded images by number. Pickled into worker processes: keep it small."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def read(self, index: int) -> tuple[bytes | tuple[bytes, ...], int]:
        """Returns an encoded image, or its files, and its class, -1 without one."""

    def name(self, index: int) -> str:
        """Returns what to call an example in messages."""

    def labels(self) -> np.ndarray | None:
        """Returns all classes, int32 `[N]`, or None without any."""

    def state(self) -> list[Any]:
        """Returns what changes when the data do, without reading them all."""


class LazySource:
    """The examples of one split, each decoded when it is asked for.

    It stands in for a `Source` in `TrainData` and `EvalData`. What an example looks
    like in training is a function of (seed, epoch, index) alone.

    Attributes:
        name: What the dataset is called.
        split: Which part of the dataset this is.
        records: The encoded images.
        class_names: The name of every class; empty without labels.
        train_crop: What part of an image training sees.
        eval_crop: What part evaluation sees.
        decoder: What is made of the files of an example.
        targets: The boxes or the mask of every record, or None.
        groups: To what each record belongs that must not be parted, such as a patient:
            int32, by record; None if examples may be parted in any way.
        on_broken: `"error"`, or `"skip"`: in training the next example that can be
            decoded, in the order of the source, takes the place of a broken one; in
            evaluation its mask is 0.
        indices: Which of the records belong to this source, `[N]`.
        broken: Why an example was skipped, by its name; grows as they are met.
        rank: 2, the spatial axes of images.
        extras: None of them.

    Raises:
        ValueError: if `on_broken` is neither of the two, the crops differ in size, or
            there are no examples.
    """

    rank = 2
    kind = "images"

    def __init__(
        self,
        name: str,
        records: Records,
        class_names: tuple[str, ...],
        *,
        split: str,
        train_crop: Crop,
        eval_crop: ResizeCrop | Stretch,
        mode: str = "RGB",
        decoder: Decoder | None = None,
        targets: Targets | None = None,
        groups: np.ndarray | None = None,
        on_broken: str = "error",
        indices: np.ndarray | None = None,
    ) -> None:
        if on_broken not in ON_BROKEN:
            raise ValueError(
                f"on_broken is {on_broken!r}.{nearest(on_broken, ON_BROKEN)} Allowed "
                "are 'error' and 'skip'"
            )
        if train_crop.size != eval_crop.size:
            raise ValueError(
                f"train_crop gives {train_crop.size} and eval_crop {eval_crop.size}, "
                "expected images of one size"
            )
        self.name, self.records, self.split = name, records, split
        self.class_names = tuple(class_names)
        self.train_crop, self.eval_crop = train_crop, eval_crop
        self.decoder = Decoder((FilePart(mode),)) if decoder is None else decoder
        self.targets, self._groups, self.on_broken = targets, groups, on_broken
        self.indices = np.arange(len(records)) if indices is None else indices
        if not len(self.indices):
            raise ValueError(f"split {split!r} of {name!r} is empty")
        self._caches: dict[Crop, KeptImages] = {}
        self.broken: dict[str, str] = {}
        self.extras: dict[str, np.ndarray] = {}
        # Told the number of every record before it is decoded.
        self.watch: Callable[[int], None] | None = None
        # A worker leaves its warnings to the process that it works for.
        self.quiet = False

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return (
            f"LazySource({self.name!r}, split={self.split!r}, {len(self)} images "
            f"decoded to {shape}, {self.num_classes} classes)"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of a decoded image."""
        return (*self.eval_crop.size, self.decoder.channels)

    @property
    def num_classes(self) -> int:
        """The number of classes, of images or of boxes; 0 without any."""
        return len(self.class_names)

    @property
    def labelled(self) -> bool:
        """Whether each image is of a class: not where boxes or pixels are."""
        return bool(self.class_names) and self.targets is None

    @property
    def groups(self) -> np.ndarray | None:
        """The group of every example, int32 `[N]`, or None."""
        return None if self._groups is None else self._groups[self.indices]

    @property
    def labels(self) -> np.ndarray | None:
        """Class indices int32 `[N]`, or None for data without labels.

        Free for folders. A dataset of TFDS is read once for them; they are then kept on
        disk.
        """
        labels = self.records.labels() if self.labelled else None
        return None if labels is None else labels[self.indices]

    def validate(self) -> "LazySource":
        """Returns this source; pixels are looked at only when they are decoded."""
        return self

    def subset(self, indices: Any, *, split: str | None = None) -> "LazySource":
        """Returns the examples at these positions, in this order.

        Args:
            indices: Integers, booleans `[N]` or a slice.
            split: What to call the part; this source's split if None.
        """
        part = self._copy()
        index = indices if isinstance(indices, slice) else np.asarray(indices)
        part.indices = self.indices[index]
        part.split = self.split if split is None else split
        if not len(part.indices):
            raise ValueError(f"split {part.split!r} of {self.name!r} is empty")
        return part

    def renamed(self, class_names: tuple[str, ...]) -> "LazySource":
        """Returns the same examples with other names of the classes."""
        part = self._copy()
        part.class_names = class_names
        return part

    def relabelled(
        self, order: np.ndarray, class_names: tuple[str, ...]
    ) -> "LazySource":
        """Returns the same examples with their classes in another order.

        Args:
            order: The new number of every class, `[classes]`.
            class_names: In the new order.
        """
        part = self.renamed(class_names)
        part.records, part._caches = Relabelled(self.records, order), {}
        return part

    def _copy(self) -> "LazySource":
        part = copy.copy(self)
        part.broken = {}
        return part

    def fingerprint(self) -> str:
        """Returns a hash of names, sizes, classes and the size of decoded images.

        No pixel is read, so a file overwritten by another of the same size is not
        noticed. It costs one `stat` a file.
        """
        digest = hashlib.blake2b(digest_size=16)
        parts = [self.class_names, self.image_shape, self.on_broken]
        # Nothing is said of what is as it always was: old runs go on.
        if self.decoder != Decoder((FilePart(self.decoder.parts[0].mode),)):
            parts.append(self.decoder)
        state = [] if self.targets is None else self.targets.state()
        for part in (*parts, *self.records.state(), *state):
            digest.update(repr(part).encode() if not isinstance(part, bytes) else part)
        digest.update(np.ascontiguousarray(self.indices, np.int64).data)
        return digest.hexdigest()

    def channel_stats(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean and the standard deviation of every channel, estimated.

        From up to 1,024 images, always the same ones, as evaluation sees them. Each
        call decodes them.
        """
        return self._sample(_SAMPLE).channel_stats()

    def _sample(self, count: int) -> Source:
        order = np.arange(len(self))
        if len(self) > count:
            order = generator(0, len(self), Stream.CROP).permutation(len(self))[:count]
        batch = self.batch(np.sort(order))
        usable = batch.get("mask", np.ones(len(order))) > 0
        return Source(self.name, batch["image"][usable], split=self.split)

    def in_memory(self) -> Source:
        """Returns all examples as evaluation sees them, decoded now.

        Raises:
            ValueError: if they would take more than the machine's memory, or an image
                is broken.
        """
        needed, there = len(self) * int(np.prod(self.image_shape)), _memory()
        if there and needed > there:
            raise ValueError(
                f"split {self.split!r} of {self.name!r} takes {needed / 1e9:.1f} GB "
                f"decoded, the machine has {there / 1e9:.1f} GB: use decode='lazy'"
            )
        batch = self.batch(np.arange(len(self)))
        usable = batch.get("mask", np.ones(len(self))) > 0
        rows = {name: array[usable] for name, array in batch.items() if name != "mask"}
        groups = self.groups
        return Source(
            self.name,
            rows.pop("image"),
            rows.pop("label", None),
            self.class_names,
            self.split,
            extras=rows,
            groups=None if groups is None else groups[usable],
        )

    def cached(
        self, *, training: bool = False, size: int | None = None
    ) -> "LazySource":
        """Returns this source with its images decoded on disk, which it does now.

        For evaluation, and for training without random crops, the very pixels of a
        batch are kept: what it gives is the same to the byte. For training with random
        crops the whole image is kept, brought to a square. The same crops are then cut
        from that, so a small part of a large image has less detail than it had.

        The files lie in the `cache_folder()`, `size * size * channels` bytes an image,
        and are found again by the source's fingerprint, the times of its files and the
        crops.

        Args:
            training: Whether it is for the batches of training.
            size: Pixels of a side of the squares; by default the larger side of the
                crops over 0.875, as much as evaluation resizes to.

        Raises:
            OSError: if the file cannot be written.
            ValueError: if an image is broken and they are not skipped, or `size` is
                less than the crops.
        """
        source = self._copy()
        crop = self.train_crop if training else self.eval_crop
        cache = keep_decoded(source, crop, size)
        source._caches = {**self._caches, crop: cache}
        return source

    def batch(
        self, indices: np.ndarray, *, seed: int = 0, epoch: int | None = None
    ) -> dict[str, np.ndarray]:
        """Returns some examples, decoded: `image` uint8, `label` or targets if any.

        Args:
            indices: Integers `[B]`.
            seed: Chooses the crops.
            epoch: Which pass over the data this is; None for evaluation, where `mask`
                is there if an example is broken, and 0 for it.

        Raises:
            OSError: if a file cannot be read.
            ValueError: if an image is broken and `on_broken` is `"error"`.
        """
        batch = {"image": np.empty((len(indices), *self.image_shape), np.uint8)}
        if self.labelled:
            batch["label"] = np.empty(len(indices), np.int32)
        if self.targets is not None:
            batch |= self.targets.empty(len(indices), self.eval_crop.size)
        mask = np.ones(len(indices), np.float32)
        for row, position in enumerate(indices):
            if epoch is None:
                mask[row] = self._one(int(position), None, batch, row)
            else:
                self._next_good(int(position), (seed, epoch), batch, row)
        return batch if mask.all() else {**batch, "mask": mask}

    def _next_good(self, position: int, draw: tuple[int, int], *row: Any) -> None:
        for step in range(min(_BROKEN_IN_A_ROW, len(self))):
            if self._one((position + step) % len(self), draw, *row):
                return
        raise ValueError(
            f"{step + 1} examples in a row cannot be decoded, from "
            f"{self._name(position)} on"
        )

    def _one(
        self,
        position: int,
        draw: tuple[int, int] | None,
        batch: dict[str, np.ndarray],
        row: int,
    ) -> bool:
        """Puts an example into its row and returns True; False if it is broken."""
        index = int(self.indices[position])
        if self.watch is not None:
            self.watch(index)
        crop, rng = self.eval_crop, None
        if draw is not None:
            crop, rng = self.train_crop, generator(draw[0], index, Stream.CROP, draw[1])
        cache = self._caches.get(crop)
        kept = None if cache is None else cache.get(index)
        # Storage that fails is an error always: another start might not meet it.
        stored = None if self.targets is None else self.targets.read(index)
        data, label = (b"", kept.label) if kept else self.records.read(index)
        if "label" in batch:
            batch["label"][row] = label
        try:
            if cache is None:
                found = self.decoder(data, crop, rng)
            else:
                found = cache.view(kept or cache.make(data), crop, rng)
            batch["image"][row], placement, whole = found
            if self.targets is not None:
                beside = self.targets.place(stored, placement, whole, crop.size)
                for name, array in beside.items():
                    batch[name][row] = array
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
        except Exception as error:
            self.report_broken(index, error)
            batch["image"][row] = 0
            return False
        return True

    def _name(self, position: int) -> str:
        return self.records.name(int(self.indices[position]))

    def report_broken(self, index: int, error: Exception) -> None:
        """Raises what is wrong with a record, or remembers it if such are skipped.

        Raises:
            ValueError: if `on_broken` is `"error"`.
        """
        name = self.records.name(index)
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        if self.on_broken == "error":
            raise ValueError(
                f"{name} cannot be decoded: {reason}; on_broken='skip' goes on without"
            ) from error
        self.note_broken({name: reason})

    def note_broken(self, found: dict[str, str]) -> None:
        """Remembers examples that could not be decoded, and warns of each once."""
        for name, reason in found.items():
            if name not in self.broken:
                self.broken[name] = reason
                message = f"{name} cannot be decoded and is skipped: {reason}"
                if not self.quiet:
                    warnings.warn(message, stacklevel=2)


def _memory() -> int:
    """Returns the bytes of the machine's memory, 0 if it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
