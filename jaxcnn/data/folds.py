"""Folds of a cross-validation: a source parted so that each class is in every part."""

import dataclasses
import numbers

import numpy as np

from jaxcnn.data.groups import grouped_folds
from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.source import Source


def stratified_folds(labels: np.ndarray, folds: int, seed: int = 0) -> list[np.ndarray]:
    """Returns the positions of every fold's examples, each example in one fold.

    The examples, sorted by class and shuffled in each, are dealt out in turn: the
    counts of a class differ by one at most between folds, and so do the folds' sizes.

    Args:
        labels: Class indices `[N]`.
        folds: How many, 2 or more.
        seed: Chooses the examples.

    Returns:
        `folds` arrays of positions in `[0, N)`, ascending.

    Raises:
        ValueError: if there are fewer than two folds, or fewer examples of a class than
            folds.

    Example:
        >>> folds = stratified_folds(np.array([0, 0, 1, 1, 0, 1]), 3)
        >>> print([len(fold) for fold in folds])
        [2, 2, 2]
    """
    _check_count("folds", folds, 2)
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.size == 0 or sizes.min() < folds:
        rare = int(np.argmin(sizes)) if sizes.size else 0
        what = (
            f"class {classes[rare]} has {sizes[rare]}" if sizes.size else "there are 0"
        )
        raise ValueError(
            f"folds is {folds}, but {what} examples: every fold needs one of each "
            "class."
        )
    dealt = []
    for label in classes:
        members = np.flatnonzero(labels == label)
        rng = generator(seed, int(label), Stream.FOLDS)
        dealt.append(members[rng.permutation(len(members))])
    order = np.concatenate(dealt)
    return [np.sort(order[k::folds]) for k in range(folds)]


@dataclasses.dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation, in the place of a validation part's size.

    Attributes:
        number: Which fold is the validation part, from 1.
        count: How many folds there are.
        seed: Chooses the examples of all folds.
        split: What is cut into folds, such as `"train"` or `"train[:10%]"`.

    Raises:
        ValueError: if there is no such fold.
    """

    number: int
    count: int
    seed: int = 0
    split: str = "train"

    def __post_init__(self):
        _check_count("folds", self.count, 2)
        _check_count("fold", self.number, 1)
        if self.number > self.count:
            raise ValueError(
                f"fold is {self.number}, expected 1 to {self.count}, the number of "
                "folds."
            )

    def positions(self, source: Source) -> np.ndarray:
        """Returns the positions of this fold's examples in the source, ascending."""
        labels = source.labels
        if labels is None:
            labels = np.zeros(len(source), int)
        groups = getattr(source, "groups", None)
        if groups is not None:
            folds = grouped_folds(labels, groups, self.count, self.seed)
        else:
            folds = stratified_folds(labels, self.count, self.seed)
        return folds[self.number - 1]

    def part(self, source: Source) -> tuple[Source, Source]:
        """Returns `(train, validation)`: the other folds, and this one."""
        chosen = np.zeros(len(source), bool)
        chosen[self.positions(source)] = True
        return source.subset(~chosen), source.subset(chosen, split="validation")


def _check_count(name: str, value: int, minimum: int) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < minimum:
        raise ValueError(
            f"{name} is {value!r}, expected a whole number from {minimum}."
        )
