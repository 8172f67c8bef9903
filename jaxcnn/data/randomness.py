"""Random numbers as pure functions of (seed, index), one stream for each purpose."""

import enum

import numpy as np


class Stream(enum.IntEnum):
    """What the numbers are for: other streams never overlap, whatever the seed."""

    ORDER = 0
    NOISE = 1
    SPLIT = 2
    PAIRS = 3
    CLASS_ORDER = 4
    FOLDS = 5
    CROP = 6
    FOLDER = 7
    GROUPS = 8


def generator(
    seed: int, index: int, stream: Stream, part: int = 0
) -> np.random.Generator:
    """Returns the generator number `index` of a seed.

    Philox is counter based: any (key, counter) can be started at, at no cost (Salmon et
    al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011). The key is
    (seed, index); stream and part stand in the counter's highest words.

    Args:
        seed: From 0 to 2**64 - 1.
        index: An epoch or an example, not negative.
        stream: What the numbers are for.
        part: A second index, such as a class, not negative.

    Raises:
        ValueError: if the seed is not an integer in that range.
    """
    check_seed(seed)
    key = np.array([seed, index], np.uint64)
    counter = np.array([0, 0, part, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def check_seed(seed: int) -> None:
    """Raises ValueError if `seed` cannot seed a generator."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed!r}, expected an integer from 0 to 2**64 - 1")
