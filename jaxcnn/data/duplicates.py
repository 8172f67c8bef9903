"""Which examples are the same: within a split, across splits, under two labels."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Member:
    """An example of a finding.

    Attributes:
        split: Its split.
        index: Its position there.
        name: Its file, or `split[index]`.
        label: The name of its class, None without one.
    """

    split: str
    index: int
    name: str
    label: str | None


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Examples that are the same picture.

    Attributes:
        members: They, in the order of splits and positions.
        distance: 0 if their pixels are equal; else the bits between two hashes.
    """

    members: tuple[Member, ...]
    distance: int = 0

    @property
    def is_leak(self) -> bool:
        """Whether they are in several splits."""
        return len({member.split for member in self.members}) > 1

    @property
    def is_conflict(self) -> bool:
        """Whether they have several labels; an absent one is none."""
        labels = {member.label for member in self.members} - {None}
        return len(labels) > 1


def count_leaks(found: Sequence[Duplicates], earlier: str, later: str) -> int:
    """Returns how many examples of one split are also in another, each counted once."""
    leaked = {
        member.index
        for group in found
        if any(member.split == earlier for member in group.members)
        for member in group.members
        if member.split == later
    }
    return len(leaked)


def equal_groups(digests: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the positions of every digest that occurs more than once.

    Args:
        digests: `[N]` of bytes (`S16` would drop zeros at the end: use `V16`).
    """
    _, inverse, counts = np.unique(
        # Two numbers sort, sixteen bytes of type V do not.
        digests.view([("high", ">u8"), ("low", ">u8")]),
        return_inverse=True,
        return_counts=True,
    )
    inverse = inverse.reshape(-1)
    order = np.argsort(inverse, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    repeated = [group for group in groups if len(group) > 1]
    yield from sorted(repeated, key=lambda group: int(group[0]))
