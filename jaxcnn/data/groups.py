"""Parts of a dataset that keep groups together: a patient stays on one side."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from jaxcnn.data.randomness import Stream, generator

# Times that all groups are gone through; it ends long before where nothing improves.
_ROUNDS = 20


def grouped_choice(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """Returns booleans `[N]` that choose whole groups, about `count` examples.

    Groups are gone through in a random order, again and again; each changes sides if
    that brings the number of examples of the classes nearer (in squares) to their
    shares of `count`. So the size is near the wish where groups are small against it.

    Args:
        labels: Class indices `[N]`.
        groups: The group of every example, integers `[N]`.
        count: How many examples to choose.
        seed: Chooses the order.

    Raises:
        ValueError: if there are fewer than two groups, or a class would have no example
            left or none at all would be chosen.
    """
    counts, members = _group_counts(labels, groups)
    if len(counts) < 2:
        raise ValueError(
            "all examples are of one group, which cannot be parted: look at data.group"
        )
    wish = counts.sum(0) * (count / len(labels))
    order = generator(seed, 0, Stream.GROUPS).permutation(len(counts))
    chosen, missing = np.zeros(len(counts), bool), wish.copy()
    for _ in range(_ROUNDS):
        changed = False
        for group in order:
            after = missing + counts[group] * (1 if chosen[group] else -1)
            if (after**2).sum() < (missing**2).sum():
                chosen[group], missing, changed = not chosen[group], after, True
        if not changed:
            break
    if not chosen.any():  # one group is more than all that is wanted
        chosen[order[np.argmin(counts.sum(1)[order])]] = True
    left = counts[~chosen].sum(0)
    if not left.all():
        raise ValueError(
            f"{count} of {len(labels)} examples cannot be set apart in whole groups: "
            f"class {int(np.argmin(left))} would have no training examples left "
            f"({len(counts)} groups)"
        )
    return chosen[members]


def grouped_folds(
    labels: np.ndarray, groups: np.ndarray, folds: int, seed: int = 0
) -> list[np.ndarray]:
    """Returns the positions of every fold's examples; each group is in one fold.

    Groups are dealt out by size, the largest first, those of equal size in a random
    order; each goes to the fold in which it brings the counts of the classes nearest
    (in squares) to equal shares.

    Args:
        labels: Class indices `[N]`.
        groups: The group of every example, integers `[N]`.
        folds: How many, 2 or more.
        seed: Chooses the order.

    Returns:
        `folds` arrays of positions in `[0, N)`, ascending.

    Raises:
        ValueError: if there are fewer groups than folds.

    Example:
        >>> groups = np.array([0, 0, 1, 1, 2, 2])
        >>> [len(fold) for fold in grouped_folds(np.zeros(6, int), groups, 3)]
        [2, 2, 2]
    """
    counts, members = _group_counts(labels, groups)
    if len(counts) < folds:
        raise ValueError(
            f"folds is {folds}, but there are {len(counts)} groups: every fold needs "
            "one."
        )
    order = generator(seed, 0, Stream.GROUPS).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    share, held = counts.sum(0) / folds, np.zeros((folds, counts.shape[1]))
    taken = np.empty(len(counts), int)
    for number, group in enumerate(order):
        # What the squared distance from the shares grows by in each fold.
        growth = ((held + counts[group] - share) ** 2 - (held - share) ** 2).sum(1)
        empty = np.flatnonzero(held.sum(1) == 0)
        if len(order) - number <= len(empty):  # the last ones fill what is empty
            growth = np.where(held.sum(1) == 0, growth, np.inf)
        taken[group] = int(np.argmin(growth))
        held[taken[group]] += counts[group]
    return [np.flatnonzero(taken[members] == fold) for fold in range(folds)]


def _group_counts(
    labels: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns examples by group and class `[G, C]`, and each example's group `[N]`."""
    names, members = np.unique(groups, return_inverse=True)
    classes, indices = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (members, indices), 1)
    return counts, members


def numbered(names: Iterable[str]) -> np.ndarray:
    """Returns the number of every name, int32 `[N]`, in the order of the names."""
    return np.unique(np.array(list(names), str), return_inverse=True)[1].astype(
        np.int32
    )


def groups_of(paths: Sequence[str], pattern: str) -> list[str]:
    """Returns the name of every path's group: what a regular expression finds in it.

    Args:
        paths: With `/` between folders.
        pattern: Its first group counts, the whole match if it has none.

    Raises:
        ValueError: if it is no regular expression, or is not found in a path.

    Example:
        >>> groups_of(["sick/patient12_3.png", "sick/patient7_1.png"], "patient[0-9]+")
        ['patient12', 'patient7']
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"group is {pattern!r}, which is no regular expression: {error}"
        ) from None
    found = []
    for path in paths:
        match = expression.search(path)
        if match is None or match[1 if expression.groups else 0] is None:
            raise ValueError(
                f"group {pattern!r} is not found in '{path}': every example needs one"
            )
        found.append(match[1 if expression.groups else 0])
    return found


def check_apart(parts: dict[str, Iterable[str]]) -> None:
    """Raises ValueError if a group is in two of the splits.

    Args:
        parts: The names of the groups of every split.
    """
    seen: dict[str, str] = {}
    for split, names in parts.items():
        for name in sorted(set(names)):
            if name in seen:
                raise ValueError(
                    f"group {name!r} is in {seen[name]!r} and in {split!r}: one group "
                    "must be in one split"
                )
            seen[name] = split
