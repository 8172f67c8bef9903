"""Augmentation: pure functions of (key, batch) that run inside the compiled step."""

from jaxcnn.augment.batch import Augment, example_keys
from jaxcnn.augment.compose import compose, list_augments, make_augment
from jaxcnn.augment.geometry import (
    affine,
    pad_crop,
    random_affine,
    random_flip,
    random_shift,
)
from jaxcnn.augment.mixing import cutmix, mixup, mixup_or_cutmix
from jaxcnn.augment.noise import gaussian_noise
from jaxcnn.augment.views import View, list_views, make_views

__all__ = [
    "Augment",
    "View",
    "affine",
    "compose",
    "cutmix",
    "example_keys",
    "gaussian_noise",
    "list_augments",
    "list_views",
    "make_augment",
    "make_views",
    "mixup",
    "mixup_or_cutmix",
    "pad_crop",
    "random_affine",
    "random_flip",
    "random_shift",
]
