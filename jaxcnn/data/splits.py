"""Parts of a dataset: `"train[:10%]"`, and a validation part carved from train."""

import dataclasses
import re
from collections.abc import Iterable

import numpy as np

from jaxcnn.data.folds import Fold
from jaxcnn.data.groups import grouped_choice
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.source import Source
from jaxcnn.tree import nearest

_PATTERN = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


@dataclasses.dataclass(frozen=True)
class Split:
    """A split, or a slice of one as TFDS writes it.

    Attributes:
        text: As the user wrote it, `"train[:10%]"`.
        base: The name of the split, `"train"`.
        start: Where the slice starts: `"500"`, `"-10%"`, or None for the beginning.
        stop: Where it stops, exclusive, or None for the end.
    """

    text: str
    base: str
    start: str | None = None
    stop: str | None = None

    def bounds(self, n: int) -> tuple[int, int]:
        """Returns the slice of `n` examples as `(start, stop)`.

        Negative bounds count from the end; shares round to the nearest example.

        Raises:
            ValueError: if a bound is beyond the data or nothing is left.
        """
        start = 0 if self.start is None else self._bound(self.start, n)
        stop = n if self.stop is None else self._bound(self.stop, n)
        if start >= stop:
            raise ValueError(f"split {self.text!r} is empty: it has {n} examples")
        return start, stop

    def _bound(self, text: str, n: int) -> int:
        size = 100 if text.endswith("%") else n
        value = int(text.removesuffix("%"))
        value = value + size if value < 0 else value
        if not 0 <= value <= size:
            raise ValueError(
                f"split {self.text!r} asks for {text}, but {self.base!r} has {n} "
                "examples"
            )
        return round(value * n / 100) if text.endswith("%") else value

    def cut(self, source: Source) -> Source:
        """Returns this slice of a source that holds the whole base split."""
        return source.subset(slice(*self.bounds(len(source))), split=self.text)


def parse_split(text: str) -> Split:
    """Returns what `"train"`, `"test[:10%]"` or `"train[500:-100]"` means.

    `"val"` and `"valid"` are other words for `"validation"`.

    Raises:
        ValueError: if the text is none of these forms.

    Example:
        >>> parse_split("train[:10%]").bounds(1797)
        (0, 180)
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"split {text!r} is not understood; write a name or a slice, such as "
            "'train', 'train[:10%]' or 'test[500:1000]'"
        )
    base, start, stop = match.groups()
    base = "validation" if base in ("val", "valid") else base
    return Split(text, base, start, stop)


class UnknownSplit(ValueError):
    """A dataset has no split of this name; it may have others."""


def unknown_split(name: str, base: str, available: Iterable[str]) -> UnknownSplit:
    """Returns the error for a dataset that has no such split."""
    known = sorted(available)
    hint = "; validation=0.1 carves one from 'train'" if base == "validation" else ""
    return UnknownSplit(
        f"dataset {name!r} has no split {base!r}.{nearest(base, known)} It has "
        f"{', '.join(map(repr, known))}{hint}"
    )


def carve_validation(
    source: Source, size: float | int | Fold, seed: int = 0
) -> tuple[Source, Source]:
    """Returns `(train, validation)`: a part of every class set apart.

    Every class gives its share, as near as whole examples allow, and keeps one example
    at least for training. Both parts keep the order of the source. The choice depends
    on the labels, `size` and `seed` only.

    Args:
        source: What to part.
        size: A share in (0, 1), or a number of examples; or a fold of a
            cross-validation, which has a seed of its own.
        seed: Chooses the examples.

    Raises:
        ValueError: if either part would be empty, or a class would have no example
            left for training.
    """
    if isinstance(size, Fold):
        return size.part(source)
    count = _count(size, len(source))
    labels = np.zeros(len(source), int) if source.labels is None else source.labels
    chosen = chosen_part(labels, count, seed, getattr(source, "groups", None))
    return (
        source.subset(~chosen),
        source.subset(chosen, split="validation"),
    )


def _count(size: float | int, n: int) -> int:
    """Returns how many examples `size` asks for."""
    whole = isinstance(size, int | np.integer)
    count = int(size) if whole else round(size * n) if 0 < size < 1 else 0
    if isinstance(size, bool) or not 0 < count < n:
        raise ValueError(
            f"validation size is {size!r}, expected a share between 0 and 1 or a number"
            f" of examples from 1 to {n - 1}, leaving both parts some of the {n}"
        )
    return count


def chosen_part(
    labels: np.ndarray, count: int, seed: int, groups: np.ndarray | None
) -> np.ndarray:
    """Returns booleans `[N]` that choose about `count` examples, groups as a whole."""
    if groups is None:
        return stratified_choice(labels, count, seed)
    return grouped_choice(labels, groups, count, seed)


def stratified_choice(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns booleans `[N]` that choose `count` examples, of every class its share.

    Args:
        labels: Class indices `[N]`.
        count: How many to choose.
        seed: Chooses them.

    Raises:
        ValueError: if a class would be chosen as a whole.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = _shares(sizes, count)
    chosen = np.zeros(len(labels), bool)
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        order = generator(seed, int(label), Stream.SPLIT).permutation(len(members))
        chosen[members[order[:quota]]] = True
    return chosen


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """Returns whole shares of `count` in proportion to `sizes`, each below its size."""
    room = sizes - 1
    if room.sum() < count:
        raise ValueError(
            f"validation of {count} examples leaves a class without training examples: "
            f"{len(sizes)} classes, {sizes.sum()} examples"
        )
    exact = sizes * count / sizes.sum()
    quotas = np.minimum(np.floor(exact).astype(int), room)
    while (missing := count - quotas.sum()) > 0:
        # The largest remainders first; of equal ones, the class that comes first.
        wants = np.where(quotas < room, exact - quotas, -np.inf)
        order = np.argsort(-wants, kind="stable")[:missing]
        quotas[order[wants[order] > -np.inf]] += 1
    return quotas
