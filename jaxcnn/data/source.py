"""What a dataset is: images, labels and what is known of them, in memory."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping
from types import EllipsisType
from typing import Any

import numpy as np

# Examples looked at together where a whole-array temporary would be too large.
_CHUNK = 4096

# What examples with so many spatial axes are called, and their shapes with channels.
_KINDS = {
    1: ("sequences", "[N, length, channels]"),
    2: ("images", "[N, height, width, channels]"),
    3: ("volumes", "[N, depth, height, width, channels]"),
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Source:
    """The examples of one split, in memory, as stored.

    The arrays are kept as read-only views, not copied.

    Attributes:
        name: What the dataset is called, such as `"mnist"`.
        images: `[N, height, width, channels]`, uint8 in 0..255 or float32, by custom
            in 0..1. Gray images given as `[N, height, width]` get a channel axis.
            Volumes, `[N, depth, height, width, channels]`, and sequences, `[N, length,
            channels]` (with `rank=1`), are uint8 or float32 of any range.
        labels: Class indices int32 `[N]`, or None for data without labels.
        class_names: The name of every class; empty without labels.
        split: Which part of the dataset this is, such as `"train[:10%]"`.
        extras: More arrays with one row an example, such as `"target"`; batches carry
            them under the same name.
        rank: Spatial axes: 1 for sequences, 2 for images, 3 for volumes. By default
            arrays of five axes are volumes and all others images; with it the axis of
            a single channel may be left out.
        groups: To what each example belongs that must not be parted, such as a
            patient, `[N]`; None if examples may be parted in any way.

    Raises:
        ValueError: if a shape or dtype is not one of these, lengths differ, a label
            is not the index of a class, or there are no examples.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    split: str = "train"
    extras: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    rank: int | None = None
    groups: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "images", _read_only(self._checked_images()))
        object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        if self.labels is not None:
            object.__setattr__(self, "labels", _read_only(self._checked_labels()))
        if self.groups is not None:
            object.__setattr__(self, "groups", _read_only(np.asarray(self.groups)))
            self._check_length("groups", len(self.groups))
        extras = {name: np.asarray(rows) for name, rows in self.extras.items()}
        for name, rows in extras.items():
            self._check_length(f"rows of {name!r}", len(rows))
        extras = {name: _read_only(rows) for name, rows in extras.items()}
        object.__setattr__(self, "extras", extras)

    def _checked_images(self) -> np.ndarray:
        images = np.asarray(self.images)
        if self.rank is None:
            object.__setattr__(self, "rank", 3 if images.ndim == 5 else 2)
        if self.rank not in _KINDS:
            raise ValueError(
                f"rank of {self.name!r} is {self.rank!r}, expected the number of "
                "spatial axes: 1 for sequences, 2 for images, 3 for volumes"
            )
        if images.ndim == self.rank + 1:
            images = images[..., None]
        if images.ndim != self.rank + 2:
            kind, axes = _KINDS[self.rank]
            gray = " or, for gray ones, [N, height, width]" if self.rank == 2 else ""
            raise ValueError(
                f"{kind} of {self.name!r} have shape {list(images.shape)}, expected "
                f"{axes}{gray}"
            )
        if images.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"images of {self.name!r} are {images.dtype}, expected uint8 (0 to 255)"
                " or float32 (0 to 1)"
            )
        if images.size == 0:
            raise ValueError(
                f"split {self.split!r} of {self.name!r} is empty: images of shape "
                f"{list(images.shape)}"
            )
        return images

    def _checked_labels(self) -> np.ndarray:
        labels, classes = np.asarray(self.labels), len(self.class_names)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"labels of {self.name!r} are {labels.dtype}{list(labels.shape)}, "
                "expected one integer an example, [N]"
            )
        self._check_length("labels", len(labels))
        outside = (labels < 0) | (labels >= classes)
        if outside.any():
            index = int(outside.argmax())
            raise ValueError(
                f"label {labels[index]} of example {index} of {self.name!r} is outside "
                f"its {classes} classes (0 to {classes - 1})"
            )
        return labels.astype(np.int32)

    def _check_length(self, what: str, length: int) -> None:
        if length != len(self.images):
            raise ValueError(
                f"{self.name!r} has {len(self.images)} images but {length} {what}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return (
            f"Source({self.name!r}, split={self.split!r}, {len(self)} {self.kind} "
            f"{shape} "
            f"{self.images.dtype}, {self.num_classes} classes)"
        )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`, or what one sequence or volume has."""
        return self.images.shape[1:]

    @property
    def kind(self) -> str:
        """`"sequences"`, `"images"` or `"volumes"`."""
        return _KINDS[self.rank][0]

    @property
    def num_classes(self) -> int:
        """The number of classes, 0 without labels."""
        return len(self.class_names)

    def validate(self) -> "Source":
        """Returns this source if its content can be learned from.

        Raises:
            ValueError: if an image holds NaN or infinity, all pixels of all images are
                equal, or all labels are.
        """
        if self.images.dtype == np.float32:
            self._check_finite()
        if self.images.min() == self.images.max():
            raise ValueError(
                f"the images of split {self.split!r} of {self.name!r} are constant: "
                f"every pixel is {self.images.flat[0]}"
            )
        self._check_classes()
        return self

    def _check_finite(self) -> None:
        for start, images in _chunks(self.images):
            finite = np.isfinite(images).all(axis=tuple(range(1, images.ndim)))
            if not finite.all():
                raise ValueError(
                    f"image {start + int((~finite).argmax())} of split {self.split!r} "
                    f"of {self.name!r} holds NaN or infinity"
                )

    def _check_classes(self) -> None:
        if self.labels is not None and (self.labels == self.labels[0]).all():
            label = int(self.labels[0])
            raise ValueError(
                f"split {self.split!r} of {self.name!r} holds one class only, "
                f"{self.class_names[label]!r} ({label}); use labels=None for a task "
                "without classes"
            )

    def channel_stats(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean and the standard deviation of every channel.

        Over all pixels, in units where integer images span 0..1, accumulated in
        float64 (for uint8 exactly, from counts). A constant channel has deviation 1,
        so that one can divide by it.

        Example:
            >>> images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
            >>> Source("two", images).channel_stats()
            ((0.5,), (0.5,))
        """
        return self._channel_stats

    @functools.cached_property
    def _channel_stats(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        measure = _byte_stats if self.images.dtype == np.uint8 else _float_stats
        stats = [measure(self.images, c) for c in range(self.images.shape[-1])]
        return tuple(mean for mean, _ in stats), tuple(std or 1.0 for _, std in stats)

    def fingerprint(self) -> str:
        """Returns a hash of the examples and class names, equal for equal content.

        The name and the split are not part of it: the same examples in the same order
        read from other files count as the same data.
        """
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(repr(self.class_names).encode(), digest_size=16)
        arrays = {"image": self.images, "label": self.labels, **self.extras}
        for name, array in sorted(arrays.items()):
            if array is not None:
                digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def subset(self, indices: Any, *, split: str | None = None) -> "Source":
        """Returns the examples at these positions, in this order.

        Args:
            indices: Integers, booleans `[N]` or a slice.
            split: What to call the part; this source's split if None.
        """
        index = indices if isinstance(indices, slice) else np.asarray(indices)
        if not isinstance(index, slice) and index.size == 0:
            index = slice(0)  # an empty list alone would be an array of floats
        return dataclasses.replace(
            self,
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            extras={name: rows[index] for name, rows in self.extras.items()},
            groups=None if self.groups is None else self.groups[index],
            split=self.split if split is None else split,
        )

    def batch(
        self, indices: np.ndarray, *, seed: int = 0, epoch: int | None = None
    ) -> dict[str, np.ndarray]:
        """Returns copies of some examples: `image`, `label` if there are any, extras.

        Args:
            indices: Integers `[B]`.
            seed: For sources that vary what they give, such as `LazySource`; images in
                memory are given as they are.
            epoch: The same.
        """
        arrays = {"image": self.images, "label": self.labels, **self.extras}
        return {
            name: array.take(indices, axis=0)
            for name, array in arrays.items()
            if array is not None
        }


def _read_only(array: np.ndarray) -> np.ndarray:
    """Returns a view that cannot be written through: fingerprints must stay true."""
    view = array.view()
    view.flags.writeable = False
    return view


def _chunks(
    images: np.ndarray, channel: int | EllipsisType = ...
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields `(position, some images)`; of one channel if it is given."""
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK]
        yield start, part if channel is ... else part[..., channel]


def _byte_stats(images: np.ndarray, channel: int) -> tuple[float, float]:
    """Returns mean and deviation of a uint8 channel in 0..1, from exact sums."""
    counts = sum(
        np.bincount(part.ravel(), minlength=256) for _, part in _chunks(images, channel)
    )
    values = [(value, int(count)) for value, count in enumerate(counts)]
    n = sum(count for _, count in values)
    total = sum(value * count for value, count in values)
    squares = sum(value * value * count for value, count in values)
    # Python's integers do not round: the difference loses no digits to cancellation.
    return total / n / 255, math.sqrt(n * squares - total * total) / n / 255


def _float_stats(images: np.ndarray, channel: int) -> tuple[float, float]:
    """Returns mean and deviation of a float channel, in two passes."""
    n = images[..., channel].size
    mean = sum(p.sum(dtype=np.float64) for _, p in _chunks(images, channel)) / n
    squares = sum(
        np.square(part - mean, dtype=np.float64).sum()
        for _, part in _chunks(images, channel)
    )
    return float(mean), math.sqrt(squares / n)
