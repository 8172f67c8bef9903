"""Augmentation: pure functions of (key, batch) that run inside the compiled step."""

from jaxcnn.augment.alternating import alternating_flip
from jaxcnn.augment.batch import Augment, example_keys
from jaxcnn.augment.by_name import list_augments, make_augment
from jaxcnn.augment.compose import compose
from jaxcnn.augment.defaults import default_augment
from jaxcnn.augment.erasing import random_erasing
from jaxcnn.augment.geometry import (
    affine,
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
from jaxcnn.augment.views import View, list_views, make_views
from jaxcnn.augment.warps import Geometric, Warp

__all__ = [
    "Augment",
    "Geometric",
    "View",
    "Warp",
    "affine",
    "alternating_flip",
    "color_jitter",
    "compose",
    "cutmix",
    "default_augment",
    "example_keys",
    "gaussian_noise",
    "list_augments",
    "list_views",
    "make_augment",
    "make_views",
    "mixup",
    "mixup_or_cutmix",
    "pad_crop",
    "rand_augment",
    "random_affine",
    "random_autocontrast",
    "random_blur",
    "random_brightness",
    "random_contrast",
    "random_elastic",
    "random_equalize",
    "random_erasing",
    "random_flip",
    "random_gray",
    "random_hue",
    "random_invert",
    "random_noise",
    "random_perspective",
    "random_posterize",
    "random_resized_crop",
    "random_rotate",
    "random_saturation",
    "random_sharpness",
    "random_shear",
    "random_shift",
    "random_solarize",
    "random_translate",
    "random_vertical_flip",
    "random_zoom",
    "three_augment",
    "trivial_augment",
]
