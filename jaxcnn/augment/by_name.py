"""Augmentations by name, as a configuration gives them."""

import inspect
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from jaxcnn.augment.alternating import alternating_flip
from jaxcnn.augment.batch import Augment
from jaxcnn.augment.compose import Composed, compose
from jaxcnn.augment.defaults import DEFAULT
from jaxcnn.augment.erasing import random_erasing
from jaxcnn.augment.geometry import (
    pad_crop,
    random_affine,
    random_flip,
    random_shift,
    random_vertical_flip,
)
from jaxcnn.augment.mixing import cutmix, mixup, mixup_or_cutmix
from jaxcnn.augment.noise import gaussian_noise
from jaxcnn.augment.photometric import (
    color_jitter,
    random_autocontrast,
    random_blur,
    random_brightness,
    random_contrast,
    random_equalize,
    random_gray,
    random_hue,
    random_invert,
    random_noise,
    random_posterize,
    random_saturation,
    random_sharpness,
    random_solarize,
)
from jaxcnn.augment.policies import rand_augment, three_augment, trivial_augment
from jaxcnn.augment.spatial import (
    random_elastic,
    random_perspective,
    random_resized_crop,
    random_rotate,
    random_shear,
    random_translate,
    random_zoom,
)
from jaxcnn.augment.spec import parse_spec
from jaxcnn.named import call_named

_AUGMENTS = MappingProxyType(
    {
        "alternating_flip": alternating_flip,
        "color_jitter": color_jitter,
        "cutmix": cutmix,
        "gaussian_noise": gaussian_noise,
        "mixup": mixup,
        "mixup_or_cutmix": mixup_or_cutmix,
        "pad_crop": pad_crop,
        "rand_augment": rand_augment,
        "random_affine": random_affine,
        "random_autocontrast": random_autocontrast,
        "random_blur": random_blur,
        "random_brightness": random_brightness,
        "random_contrast": random_contrast,
        "random_elastic": random_elastic,
        "random_equalize": random_equalize,
        "random_erasing": random_erasing,
        "random_flip": random_flip,
        "random_gray": random_gray,
        "random_hue": random_hue,
        "random_invert": random_invert,
        "random_noise": random_noise,
        "random_perspective": random_perspective,
        "random_posterize": random_posterize,
        "random_resized_crop": random_resized_crop,
        "random_rotate": random_rotate,
        "random_saturation": random_saturation,
        "random_sharpness": random_sharpness,
        "random_shear": random_shear,
        "random_shift": random_shift,
        "random_solarize": random_solarize,
        "random_translate": random_translate,
        "random_vertical_flip": random_vertical_flip,
        "random_zoom": random_zoom,
        "three_augment": three_augment,
        "trivial_augment": trivial_augment,
    }
)


def make_augment(
    specs: str | Sequence[str],
    *,
    num_classes: int | None = None,
    seed: int | None = None,
) -> Composed:
    """Returns the augmentations that a config names, as one.

    Args:
        specs: Names as `list_augments` gives them, with arguments if any:
            `"random_flip"`, `"pad_crop(padding=2)"`.
        num_classes: Given to those that take it and do not say it themselves: `mixup`
            and its kin.
        seed: Given to `alternating_flip` in the same way.

    Raises:
        ValueError: if a spec cannot be read, or a name, argument or value is wrong.

    Example:
        >>> augment = make_augment(["random_flip", "pad_crop(padding=4)"])
    """
    specs = [specs] if isinstance(specs, str) else specs
    given = {"num_classes": num_classes, "seed": seed}
    return compose(*(_build(*_parse(spec), given) for spec in specs))


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


def needs_numbers(spec: str) -> bool:
    """Returns whether a spec names an augmentation that asks for epoch and index.

    Raises:
        ValueError: if the spec cannot be read.
    """
    return _parse(spec)[0] == "alternating_flip"


def _build(name: str, options: dict[str, Any], given: dict[str, Any]) -> Augment:
    if name == DEFAULT:
        raise ValueError(
            f"Augmentation {DEFAULT!r} is of a data set: it stands in data.augment; "
            "elsewhere ask jaxcnn.augment.default_augment(name)."
        )
    wanted = name in _AUGMENTS and inspect.signature(_AUGMENTS[name]).parameters
    if wanted:
        filled = {k: v for k, v in given.items() if k in wanted and v is not None}
        options = {**filled, **options}
    return call_named("augmentation", _AUGMENTS, name, **options)


def _parse(spec: str) -> tuple[str, dict[str, Any]]:
    return parse_spec("augmentation", spec, "'random_flip' or 'pad_crop(padding=4)'")
