"""Several augmentations as one."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax

from jaxcnn.augment.batch import Augment
from jaxcnn.augment.warps import Geometric, fused
from jaxcnn.typing import Array, Batch


@dataclasses.dataclass(frozen=True)
class Composed:
    """Augmentations in order, which `compose` returns; flat, however they were nested.

    Attributes:
        steps: Each augmentation with the numbers that are folded into its key.
    """

    steps: tuple[tuple[tuple[int, ...], Augment], ...]

    def __call__(self, key: Array, batch: Batch) -> dict[str, Any]:
        """Returns the batch after all steps."""
        batch = dict(batch)
        for steps in _runs(self.steps):
            keys = [
                functools.reduce(jax.random.fold_in, path, key) for path, _ in steps
            ]
            if len(steps) > 1:
                batch = fused([step for _, step in steps], keys, batch)
            else:
                batch = steps[0][1](keys[0], batch)
        return batch


def compose(*augments: Augment) -> Composed:
    """Returns an augmentation that applies `augments` in order, each with its own key.

    Of none at all it returns the batch as it is. Operations that move pixels and follow
    each other are fused: their matrices are multiplied and the image is resampled once.
    (`random_flip`, `pad_crop`, `random_shift` and `random_affine` among themselves are
    not: three of them need no resampling.) Noise belongs last: what comes before it
    changes the clean target as well.
    """
    steps: list[tuple[tuple[int, ...], Augment]] = []
    for index, augment in enumerate(augments):
        inner = augment.steps if isinstance(augment, Composed) else (((), augment),)
        steps += [((index, *path), step) for path, step in inner]
    return Composed(tuple(steps))


def _runs(steps: Sequence[tuple[Any, Augment]]) -> list[list[tuple[Any, Augment]]]:
    """Returns the steps in groups; those of a group become one resampling."""
    runs = []
    kinds = itertools.groupby(steps, lambda step: isinstance(step[1], Geometric))
    for geometric, found in kinds:
        group = list(found)
        if geometric and any(step.pixels is None for _, step in group):
            runs.append(group)
        else:
            runs += [[step] for step in group]
    return runs
