"""Several augmentations as one, and augmentations by name."""

import inspect
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import jax

from jaxcnn.augment.batch import Augment
from jaxcnn.augment.geometry import pad_crop, random_affine, random_flip, random_shift
from jaxcnn.augment.mixing import cutmix, mixup, mixup_or_cutmix
from jaxcnn.augment.noise import gaussian_noise
from jaxcnn.augment.spec import parse_spec
from jaxcnn.named import call_named

_AUGMENTS = MappingProxyType(
    {
        "cutmix": cutmix,
        "gaussian_noise": gaussian_noise,
        "mixup": mixup,
        "mixup_or_cutmix": mixup_or_cutmix,
        "pad_crop": pad_crop,
        "random_affine": random_affine,
        "random_flip": random_flip,
        "random_shift": random_shift,
    }
)


def compose(*augments: Augment) -> Augment:
    """Returns an augmentation that applies `augments` in order, each with its own key.

    Of none at all it returns the batch as it is. Noise belongs last: what comes before
    it changes the clean target as well.
    """

    def augment(key, batch):
        batch = dict(batch)
        for index, function in enumerate(augments):
            batch = function(jax.random.fold_in(key, index), batch)
        return batch

    return augment


def make_augment(
    specs: str | Sequence[str], *, num_classes: int | None = None
) -> Augment:
    """Returns the augmentations that a config names, as one.

    Args:
        specs: Names as `list_augments` gives them, with arguments if any:
            `"random_flip"`, `"pad_crop(padding=2)"`.
        num_classes: Given to those that take it and do not say it themselves: `mixup`
            and its kin.

    Raises:
        ValueError: if a spec cannot be read, or a name, argument or value is wrong.

    Example:
        >>> augment = make_augment(["random_flip", "pad_crop(padding=4)"])
    """
    specs = [specs] if isinstance(specs, str) else specs
    return compose(*(_build(*_parse(spec), num_classes) for spec in specs))


def list_augments() -> list[str]:
    """Returns the names that `make_augment` knows."""
    return sorted(_AUGMENTS)


def mixes_labels(spec: str) -> bool:
    """Returns whether a spec names an augmentation after which labels are soft.

    Raises:
        ValueError: if the spec cannot be read.
    """
    function = _AUGMENTS.get(_parse(spec)[0])
    return function is not None and function.__module__.endswith(".mixing")


def _build(name: str, options: dict[str, Any], num_classes: int | None) -> Augment:
    wanted = name in _AUGMENTS and inspect.signature(_AUGMENTS[name]).parameters
    if wanted and "num_classes" in wanted and num_classes is not None:
        options = {"num_classes": num_classes, **options}
    return call_named("augmentation", _AUGMENTS, name, **options)


def _parse(spec: str) -> tuple[str, dict[str, Any]]:
    return parse_spec("augmentation", spec, "'random_flip' or 'pad_crop(padding=4)'")
