"""Pairs of overlapping digits, as a pure function of a seed and the pair's number."""

import dataclasses

import numpy as np

from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.source import Source


@dataclasses.dataclass(frozen=True, eq=False)
class OverlappingPairs:
    """Images of two digits of different classes, one upon the other (MultiMNIST).

    Both digits, and how far each is moved within the larger image, depend on the seed
    and the pair's number alone. The image is their sum, cut off at white.

    Attributes:
        source: The digits, uint8, with labels of two classes or more.
        batch_size: Pairs in `pairs[k]`: those from `k * batch_size` on, so that pairs
            never repeat.
        seed: Chooses the pairs.
        max_shift: The furthest that a digit moves up, down, left and right, in pixels;
            the image grows by as much on every side.

    Raises:
        ValueError: if the source has no labels of two classes, or is not uint8.

    Example:
        >>> from jaxcnn.data import load_source
        >>> pairs = OverlappingPairs(load_source("digits", "test[:50]"), batch_size=4)
        >>> {name: rows.shape for name, rows in pairs[0].items()}
        {'image': (4, 36, 36, 1), 'label': (4, 2), 'target': (4, 2, 36, 36, 1)}

    References:
        Sabour et al., "Dynamic Routing Between Capsules", NeurIPS 2017, section 6.1,
        https://arxiv.org/abs/1710.09829.
    """

    source: Source
    batch_size: int = 64
    seed: int = 0
    max_shift: int = 4

    def __post_init__(self) -> None:
        labels = self.source.labels
        if labels is None or (labels == labels[0]).all():
            raise ValueError("source must have labels of two classes or more.")
        if self.source.images.dtype != np.uint8:
            raise ValueError(f"source must be uint8, not {self.source.images.dtype}.")
        if self.batch_size < 1 or self.max_shift < 0:
            raise ValueError(
                "batch_size must be 1 or more and max_shift 0 or more, got "
                f"{self.batch_size} and {self.max_shift}."
            )

    # Without this Python would iterate over `pairs[0], pairs[1], ...` and never end.
    __iter__ = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which there are as many pairs as there are digits."""
        return max(len(self.source) // self.batch_size, 1)

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        """Returns batch `k`: `image`, `label` `[B, 2]`, and `target`, each digit alone.

        Raises:
            ValueError: if `k` is negative.
        """
        if k < 0:
            raise ValueError(f"batch number is {k}, expected 0 or more")
        return self.take(k * self.batch_size, self.batch_size)

    def take(self, start: int, count: int) -> dict[str, np.ndarray]:
        """Returns the pairs number `start` to `start + count - 1`, like a batch."""
        drawn = [self._pair(start + number) for number in range(count)]
        target = np.stack([images for images, _ in drawn])
        image = target.sum(axis=1, dtype=np.uint16).clip(max=255).astype(np.uint8)
        label = np.stack([labels for _, labels in drawn])
        return {"image": image, "label": label, "target": target}

    def to_source(self, count: int) -> Source:
        """Returns the first `count` pairs as a source, to evaluate on."""
        pairs = self.take(0, count)
        image = pairs.pop("image")
        return Source(
            f"pairs of {self.source.name}", image, split=self.source.split, extras=pairs
        )

    def _pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns two digits, `[2, height, width, channels]`, and their classes."""
        rng = generator(self.seed, number, Stream.PAIRS)
        labels = self.source.labels
        first = second = int(rng.integers(len(labels)))
        while labels[second] == labels[first]:
            second = int(rng.integers(len(labels)))
        shifts = rng.integers(0, 2 * self.max_shift + 1, (2, 2))
        height, width, channels = self.source.image_shape
        grown = 2 * self.max_shift
        images = np.zeros((2, height + grown, width + grown, channels), np.uint8)
        chosen = np.array([first, second])
        for image, index, (down, right) in zip(images, chosen, shifts, strict=True):
            part = image[down : down + height, right : right + width]
            part[...] = self.source.images[index]
        return images, labels[chosen]
