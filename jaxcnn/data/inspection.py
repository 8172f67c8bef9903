"""What a dataset holds, and what is wrong with it: broken, doubled, leaked images."""

import dataclasses
import math
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data.duplicates import Duplicates, Member, count_leaks, equal_groups
from jaxcnn.data.every_split import load_splits
from jaxcnn.data.hashes import NEAR_BITS, near_pairs
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.source import Source
from jaxcnn.data.whole import Facts, example_name, read_facts


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    Attributes:
        count: Examples, broken ones too.
        classes: Examples of every class by its name; empty without labels.
        sizes: Smallest, median and largest number of pixels along every spatial axis,
            height first; of the examples that can be decoded.
        modes: Examples by Pillow's name of their channels; for arrays by the number and
            type of the channels.
        channels: For every number of channels the mean and the standard deviation of
            each over all pixels, where integers span 0..1.
        broken: Why an example cannot be decoded, by its name.
        plain: Images too small or too plain to look for near duplicates of.
    """

    count: int
    classes: Mapping[str, int]
    sizes: tuple[tuple[int, float, int], ...]
    modes: Mapping[str, int]
    channels: Mapping[int, tuple[tuple[float, ...], tuple[float, ...]]]
    broken: Mapping[str, str]
    plain: int


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a dataset holds, and which of its examples are the same.

    Attributes:
        name: What the dataset is called.
        splits: What every split holds, in order.
        exact: Groups of examples with equal pixels, also within one split.
        near: Pairs that look alike but differ in pixels; of equal ones the first
            of a split stands for all of it.
        near_bits: The largest distance of such a pair; None if none were looked for.
        near_complete: False if there are more than a million pairs.
    """

    name: str
    splits: Mapping[str, SplitReport]
    exact: tuple[Duplicates, ...]
    near: tuple[Duplicates, ...]
    near_bits: int | None
    near_complete: bool = True

    @property
    def leaks(self) -> dict[tuple[str, str], int]:
        """Examples of a later split with equal pixels in an earlier one, by the two."""
        return self._leaks(self.exact)

    @property
    def near_leaks(self) -> dict[tuple[str, str], int]:
        """The same for pairs that only look alike."""
        return self._leaks(self.near)

    @property
    def conflicts(self) -> tuple[Duplicates, ...]:
        """Groups with equal pixels and different labels."""
        return tuple(group for group in self.exact if group.is_conflict)

    def _leaks(self, found: tuple[Duplicates, ...]) -> dict[tuple[str, str], int]:
        names = list(self.splits)
        pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
        found = tuple(group for group in found if group.is_leak)
        return {(a, b): count_leaks(found, a, b) for a, b in pairs}

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as dictionaries, lists, texts and numbers."""
        return {
            "name": self.name,
            "splits": {k: dataclasses.asdict(v) for k, v in self.splits.items()},
            "leaks": _pairs_to_json(self.leaks),
            "near_leaks": _pairs_to_json(self.near_leaks),
            "conflicts": len(self.conflicts),
            "near_bits": self.near_bits,
            "near_complete": self.near_complete,
            "exact": [dataclasses.asdict(group) for group in self.exact],
            "near": [dataclasses.asdict(group) for group in self.near],
        }


def _pairs_to_json(leaks: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [{"from": a, "to": b, "count": n} for (a, b), n in leaks.items()]


def inspect(
    data: str | Mapping[str, Source | LazySource],
    *,
    data_dir: epath.PathLike | None = None,
    near_bits: int | None = NEAR_BITS,
) -> Inspection:
    """Returns what a dataset holds, its broken files, duplicates and leaks.

    Every image is decoded once, in full; of each about a hundred bytes are kept, so
    that a `LazySource` may be of any size.

    Args:
        data: A name as for `load_splits`, or sources by the name of their split; the
            order of these says what leaks where.
        data_dir: As for `load_source`.
        near_bits: How many of 255 bits two perceptual hashes may differ in for two
            images to count as near duplicates, 0 to 64; None does not look for any.

    Raises:
        OSError: if files are missing.
        ValueError: if the name, a file or an argument is wrong, or no image can be
            decoded.

    Example:
        >>> report = inspect("digits")
        >>> report.splits["test"].count, report.leaks
        (360, {('train', 'test'): 0})
    """
    if near_bits is not None:
        near_pairs(np.empty((0, 32), np.uint8), near_bits)
    sources = load_splits(data, data_dir=data_dir) if isinstance(data, str) else data
    if not sources:
        raise ValueError("data is empty, expected sources by the name of their split")
    kept = _Kept(list(sources))
    splits = {}
    for split, source in sources.items():
        tally = _Tally(source)
        for position, facts in enumerate(
            read_facts(source, near=near_bits is not None)
        ):
            tally.add(position, facts)
            kept.add(split, position, facts)
        splits[split] = tally.report(near_bits is not None)
    if not kept.splits:
        first = next(iter(next(iter(splits.values())).broken.items()))
        raise ValueError(f"no image can be decoded; {first[0]}: {first[1]}")
    describe = _Describer(sources, kept)
    groups = list(equal_groups(kept.digests))
    exact = tuple(describe(group) for group in groups)
    near, complete = (), True
    if near_bits is not None:
        near, complete = _near(kept, groups, describe, near_bits)
    name = next(iter(sources.values())).name
    return Inspection(name, splits, exact, near, near_bits, complete)


class _Kept:
    """What is remembered of every example that could be decoded, by number."""

    def __init__(self, splits: list[str]) -> None:
        self._numbers = {split: number for number, split in enumerate(splits)}
        # Compact arrays: a list of numbers would be four times as large.
        self.splits, self.positions, self.labels = array("H"), array("q"), array("i")
        self._digests = bytearray()
        # Of the images that have one: their hash, and their number.
        self.hashes, self.hashed = bytearray(), array("q")

    @property
    def digests(self) -> np.ndarray:
        """The digest of every example, `[N]`."""
        return np.frombuffer(bytes(self._digests), "V16")

    def add(self, split: str, position: int, facts: Facts) -> None:
        if facts.broken is not None:
            return
        if facts.near is not None:
            self.hashes += facts.near.tobytes()
            self.hashed.append(len(self.splits))
        self.splits.append(self._numbers[split])
        self.positions.append(position)
        self.labels.append(facts.label)
        self._digests += facts.digest


class _Describer:
    """Turns numbers of kept examples into findings that a person can read."""

    def __init__(self, sources: Mapping[str, Any], kept: _Kept) -> None:
        self._sources, self._kept = sources, kept
        self._splits = list(sources)

    def __call__(self, numbers: Any, distance: int = 0) -> Duplicates:
        return Duplicates(tuple(self._member(int(n)) for n in numbers), distance)

    def _member(self, number: int) -> Member:
        split = self._splits[self._kept.splits[number]]
        source, label = self._sources[split], self._kept.labels[number]
        position = self._kept.positions[number]
        name = example_name(source, position)
        known = 0 <= label < source.num_classes
        return Member(
            split, position, name, source.class_names[label] if known else None
        )


def _near(
    kept: _Kept, groups: list[np.ndarray], describe: _Describer, bits: int
) -> tuple[tuple[Duplicates, ...], bool]:
    """Returns pairs that look alike, each of two different pictures, and if all."""
    # An equal picture says nothing new; but in another split it may be a near leak.
    repeated = {
        int(number)
        for group in groups
        for number in _later_in_split(group, kept.splits)
    }
    chosen = np.array([n not in repeated for n in kept.hashed], bool)
    numbers = np.array(kept.hashed, np.int64)[chosen]
    hashes = np.frombuffer(bytes(kept.hashes), np.uint8).reshape(-1, 32)[chosen]
    pairs, distances, complete = near_pairs(hashes, bits)
    digests = kept.digests
    found = [
        describe(ends, int(distance))
        for ends, distance in zip(numbers[pairs], distances, strict=True)
        if digests[ends[0]] != digests[ends[1]]
    ]
    return tuple(found), complete


def _later_in_split(group: np.ndarray, splits: array) -> list[int]:
    """Returns the members of a group but the first of each split."""
    seen: set[int] = set()
    later = []
    for number in group:
        split = splits[number]
        if split in seen:
            later.append(int(number))
        seen.add(split)
    return later


class _Tally:
    """Counts over one split, an example after the other."""

    def __init__(self, source: Source | LazySource) -> None:
        self.source, self.count, self.plain = source, 0, 0
        self.labels: Counter[int] = Counter()
        self.modes: Counter[str] = Counter()
        self.broken: dict[str, str] = {}
        self.sizes: Counter[tuple[int, ...]] = Counter()
        # By the number of channels: pixels, and sums of values and of squares.
        self.sums: dict[int, list[Any]] = {}

    def add(self, position: int, facts: Facts) -> None:
        self.count += 1
        self.labels[facts.label] += 1
        if facts.broken is not None:
            self.broken[example_name(self.source, position)] = facts.broken
            return
        self.modes[facts.mode] += 1
        self.sizes[facts.size] += 1
        self.plain += facts.near is None
        pixels = math.prod(facts.size)
        sums = self.sums.setdefault(len(facts.mean), [0, 0.0, 0.0])
        sums[0] += pixels
        sums[1] += pixels * np.array(facts.mean)
        sums[2] += pixels * np.array(facts.square)

    def report(self, near: bool) -> SplitReport:
        names = self.source.class_names
        return SplitReport(
            self.count,
            {name: self.labels[k] for k, name in enumerate(names)},
            self._sizes(),
            dict(self.modes.most_common()),
            {channels: _moments(*s) for channels, s in sorted(self.sums.items())},
            self.broken,
            self.plain if near else 0,
        )

    def _sizes(self) -> tuple[tuple[int, float, int], ...]:
        if not self.sizes:
            return ()
        sizes, counts = np.array(list(self.sizes)), list(self.sizes.values())
        every = np.repeat(sizes, counts, axis=0)
        return tuple(
            (int(axis.min()), float(np.median(axis)), int(axis.max()))
            for axis in every.T
        )


def _moments(
    count: int, total: np.ndarray, squares: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple(mean.tolist()), tuple(std.tolist())
