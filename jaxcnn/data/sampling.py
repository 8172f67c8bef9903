"""How often each class is drawn in an epoch: an order of examples, from labels only."""

import numpy as np

from jaxcnn.data.randomness import Stream, generator
from jaxcnn.tree import nearest

#: The power of a class's size that its share of the draws is proportional to.
POWERS = {"uniform": 1.0, "balanced": 0.0, "sqrt": 0.5}


def sampled_order(
    labels: np.ndarray, draws: int, sampling: str, seed: int, epoch: int
) -> np.ndarray:
    """Returns which examples an epoch draws, in which order, `[draws]` positions.

    With n examples of a class, its share of the draws is proportional to n (uniform),
    1 (balanced) or the square root of n (sqrt), in whole numbers that add up to
    `draws`; equal shares differ by one draw at most, the same classes having the more
    in every epoch. A class's draws run through its examples in one fresh permutation
    after the other, on over the ends of epochs. So at any time no example of a class
    was drawn two times more than another, and one of a frequent class not again before
    all others had their turn. The draws of all classes are then shuffled.

    It is a function of the arguments alone: a resumed run draws what it would have.

    Args:
        labels: Class indices `[N]`.
        draws: How many examples an epoch takes.
        sampling: `"uniform"`, `"balanced"` or `"sqrt"`.
        seed: Chooses the permutations.
        epoch: From 0.

    Example:
        >>> labels = np.array([0] * 90 + [1] * 9 + [2])
        >>> order = sampled_order(labels, 99, "balanced", seed=0, epoch=0)
        >>> print(np.bincount(labels[order]))
        [33 33 33]

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed
        Recognition", ICLR 2020, section 3, https://arxiv.org/abs/1910.09217.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    drawn = [
        _draws_of(own, count, seed, epoch, int(label))
        for own, count, label in zip(
            members, class_draws(sizes, draws, sampling), classes, strict=True
        )
    ]
    order = np.concatenate(drawn)
    return order[generator(seed, epoch, Stream.ORDER).permutation(len(order))]


def class_draws(sizes: np.ndarray, draws: int, sampling: str) -> np.ndarray:
    """Returns how many of an epoch's draws each class gets, `[classes]`.

    Args:
        sizes: Examples of every class, `[classes]`, 1 or more.
        draws: What they add up to.
        sampling: `"uniform"`, `"balanced"` or `"sqrt"`.
    """
    weights = np.asarray(sizes, np.float64) ** POWERS[sampling]
    exact = draws * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    # The largest remainders first; of equal ones, the class that comes first.
    remainders = np.round(exact - counts, 9)
    order = np.argsort(-remainders, kind="stable")
    counts[order[: draws - counts.sum()]] += 1
    return counts


def check_sampling(sampling: str, labels: np.ndarray | None, shuffle: bool) -> None:
    """Raises ValueError unless examples with such labels can be drawn like this."""
    if sampling not in POWERS:
        raise ValueError(
            f"sampling={sampling!r} is unknown.{nearest(str(sampling), POWERS)} "
            f"Allowed: {', '.join(map(repr, POWERS))}."
        )
    if sampling != "uniform" and labels is None:
        raise ValueError(f"sampling={sampling!r} needs labels, and there are none.")
    if sampling != "uniform" and not shuffle:
        raise ValueError(
            f"sampling={sampling!r} draws anew in every epoch: shuffle=False allows "
            "'uniform' alone."
        )


def _draws_of(
    members: np.ndarray, count: int, seed: int, epoch: int, label: int
) -> np.ndarray:
    """Returns the draws of an epoch from the endless permutations of a class."""
    n, start = len(members), epoch * count
    first, last = start // n, (start + count - 1) // n
    orders = [
        generator(seed, k, Stream.CLASS_ORDER, label).permutation(n)
        for k in range(first, last + 1)
    ]
    if not orders:
        return members[:0]
    return members[np.concatenate(orders)[start - first * n :][:count]]
