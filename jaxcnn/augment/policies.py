"""Policies that draw operations: RandAugment, TrivialAugmentWide, 3-Augment.

Under `vmap` a `lax.switch` computes every branch for every image. So no branch is
taken here: an operation is a set of strengths of which all but one do nothing, and all
images go through all of them together. Geometry is one matrix an image, the product of
what was drawn, and one resampling at the end, which fuses with the geometry that
follows; four blends (brightness, contrast, colour, sharpness) are one blend with one of
four partners; posterize, solarize and autocontrast are elementwise. Only equalize has
a histogram of its own.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcnn.augment import color, filters, histogram
from jaxcnn.augment.batch import check_floats, check_images, example_keys
from jaxcnn.augment.compose import Composed, compose
from jaxcnn.augment.draws import check_range, mixture, per_image, uniform
from jaxcnn.augment.matrices import product, rotation, shearing, translation
from jaxcnn.augment.photometric import color_jitter
from jaxcnn.augment.warps import Geometric, Warp
from jaxcnn.typing import Array

#: The operations that `rand_augment` and `trivial_augment` draw from.
OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
_INDEX = {name: index for index, name in enumerate(OPERATIONS)}
_GEOMETRY = OPERATIONS[1:6]
_SIGNED = OPERATIONS[1:10]
_LEVELS = 31


class Space(NamedTuple):
    """How strong each operation is at its strongest.

    Attributes:
        shear: Pixels a row.
        translate: A share of the side.
        pixels: Instead of it, pixels; 0 for none.
        rotate: Degrees.
        blend: How far a factor is from 1.
        bits: How many of eight posterize takes away.
    """

    shear: float
    translate: float
    pixels: float
    rotate: float
    blend: float
    bits: int


RAND_AUGMENT = Space(0.3, 150 / 331, 0, 30.0, 0.9, 4)
TRIVIAL_AUGMENT_WIDE = Space(0.99, 0, 32.0, 135.0, 0.99, 6)


def rand_augment(num_ops: int = 2, magnitude: int = 9) -> Composed:
    """Returns the policy that applies a few operations, all of one strength.

    Operations and strengths are torchvision's, of which 9 of 30 is the usual. Colours
    come before geometry, whatever was drawn first, so that what comes in from outside
    is black and counts in no histogram; with one operation the result is torchvision's.

    Args:
        num_ops: How many operations an image goes through, drawn with replacement.
        magnitude: From 0 to 30.

    Raises:
        ValueError: if `num_ops` is not from 1 to 8 or `magnitude` not from 0 to 30.

    References:
        Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced
        search space", NeurIPS 2020, section 3, https://arxiv.org/abs/1909.13719.
    """
    for name, value, low, high in (
        ("num_ops", num_ops, 1, 8),
        ("magnitude", magnitude, 0, _LEVELS - 1),
    ):
        check_range(name, value, low, high)
        if value != int(value):
            raise ValueError(f"{name}={value!r} must be a whole number.")

    def draw(keys: Array) -> tuple[Array, Array, Array]:
        draws = uniform(keys, 2 * num_ops).reshape(2, num_ops, -1)
        levels = jnp.full(draws[0].shape, magnitude)
        return _operations(draws[0]), levels, draws[1] < 0

    return _policy(draw, RAND_AUGMENT)


def trivial_augment() -> Composed:
    """Returns TrivialAugmentWide: one operation of a random strength.

    The result is torchvision's for what was drawn, if interpolated bilinearly there.

    References:
        Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data
        Augmentation", ICCV 2021, section 3 and table 7 (wide),
        https://arxiv.org/abs/2103.10158.
    """

    def draw(keys: Array) -> tuple[Array, Array, Array]:
        draws = uniform(keys, 3)[:, None]
        levels = jnp.floor(mixture(draws[1], 0, _LEVELS)).astype(jnp.int32)
        return _operations(draws[0]), levels, draws[2] < 0

    return _policy(draw, TRIVIAL_AUGMENT_WIDE)


def three_augment(jitter: float = 0.3) -> Composed:
    """Returns 3-Augment: gray, solarized or blurred, then a jitter of the colours.

    One of the three for every image; solarized from the middle up, blurred by 0.1 to 2
    pixels. Crop and flip come before it: `random_resized_crop`, `random_flip`.

    Args:
        jitter: Amount of `color_jitter`: brightness, contrast and saturation.

    Raises:
        ValueError: if `jitter` is negative.

    References:
        Touvron et al., "DeiT III: Revenge of the ViT", ECCV 2022, section 3.2,
        https://arxiv.org/abs/2204.07118.
    """
    check_range("jitter", jitter, 0, 10)

    def one_of_three(key, batch):
        images = check_floats(check_images(batch["image"]))
        draws = uniform(example_keys(key, batch), 2)
        third = per_image(jnp.floor(mixture(draws[0], 0, 3)))
        middle = jnp.full(len(images), 128 / 255)
        blurred = filters.gaussian_blur(images, mixture(draws[1], 0.1, 2.0), radius=6)
        solarized = color.solarize(images, middle)
        result = jnp.where(third == 1, solarized, blurred)
        return {**batch, "image": jnp.where(third == 0, color.gray(images), result)}

    return compose(one_of_three, color_jitter(jitter, jitter, jitter))


def strengths(space: Space, operations: Array, levels: Array, height: int, width: int):
    """Returns the strength of each drawn operation, before its sign, as torchvision.

    Args:
        space: The largest strengths.
        operations: Indices into `OPERATIONS`, of any shape.
        levels: From 0 to 30, of the same shape.
        height: Of the images, in pixels.
        width: Of the images, in pixels.

    Returns:
        Floats of the same shape: tangents of shears, whole pixels of shifts, degrees,
        what is added to a factor of 1, bits that are left, a threshold.
    """
    share = levels / (_LEVELS - 1)
    # Halves to even, as PyTorch rounds.
    bits = np.round(8 - np.arange(_LEVELS) / ((_LEVELS - 1) / space.bits))
    full = np.zeros(len(OPERATIONS), np.float32)
    for name in OPERATIONS[1:3]:
        full[_INDEX[name]] = space.shear
    full[_INDEX["translate_x"]] = space.pixels or space.translate * width
    full[_INDEX["translate_y"]] = space.pixels or space.translate * height
    full[_INDEX["rotate"]] = space.rotate
    for name in OPERATIONS[6:10]:
        full[_INDEX[name]] = space.blend
    strength = jnp.asarray(full)[operations] * share
    shifts = (operations == _INDEX["translate_x"]) | (
        operations == _INDEX["translate_y"]
    )
    strength = jnp.where(shifts, jnp.floor(strength), strength)
    posterizes = operations == _INDEX["posterize"]
    strength = jnp.where(posterizes, jnp.asarray(bits, jnp.float32)[levels], strength)
    return jnp.where(operations == _INDEX["solarize"], 1 - share, strength)


def colored(images: Array, operations: Array, strength: Array) -> Array:
    """Returns images after one operation each, if it is of colours.

    Args:
        images: `[batch, height, width, channels]`, 1 or 3 channels, floats in [0, 1].
        operations: Indices into `OPERATIONS`, `[batch]`.
        strength: With its sign, `[batch]`; see `strengths`.
    """

    def is_(name: str) -> Array:
        return per_image(operations == _INDEX[name])

    color.check_colors(images)
    gray = color.luminance(images)
    mean = gray.mean(axis=(1, 2, 3), keepdims=True)
    other = jnp.where(is_("contrast"), mean, jnp.zeros_like(images))
    other = jnp.where(is_("color"), gray, other)
    other = jnp.where(is_("sharpness"), filters.smoothed(images), other)
    blends = is_("brightness") | is_("contrast") | is_("color") | is_("sharpness")
    result = jnp.where(blends, color.blend(images, other, 1 + strength), images)
    bits = jnp.where(operations == _INDEX["posterize"], strength, 8)
    result = jnp.where(is_("posterize"), color.posterize(images, bits), result)
    result = jnp.where(is_("solarize"), color.solarize(images, strength), result)
    result = jnp.where(is_("autocontrast"), histogram.autocontrast(images), result)
    return jnp.where(is_("equalize"), histogram.equalize(images), result)


def moving(operations: Array, strength: Array, height: int, width: int) -> Array:
    """Returns the matrices of one operation each, `[batch, 3, 3]`.

    Shears are about the image's corner, as in torchvision and in the papers.

    Args:
        operations: Indices into `OPERATIONS`, `[batch]`.
        strength: With its sign, `[batch]`.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
    """

    def of(name: str) -> Array:
        return jnp.where(operations == _INDEX[name], strength, 0.0)

    # A shear of torchvision moves what is below its centre to the left.
    lean_x, lean_y = -of("shear_x"), -of("shear_y")
    corner_x = lean_x * height / 2 + of("translate_x")
    corner_y = lean_y * width / 2 + of("translate_y")
    moved = product(translation(corner_x, corner_y), shearing(lean_x, lean_y))
    return product(moved, rotation(of("rotate")))


def _policy(draw, space: Space) -> Composed:
    """Returns colours and geometry with the same keys, so with the same draws."""

    def drawn(keys: Array, height: int, width: int) -> tuple[Array, Array]:
        operations, levels, negative = draw(keys)
        strength = strengths(space, operations, levels, height, width)
        signed = jnp.asarray(np.isin(OPERATIONS, _SIGNED))
        flips = negative & signed[operations]
        return operations, jnp.where(flips, -strength, strength)

    def colors(key, batch):
        images = check_floats(check_images(batch["image"]))
        keys = example_keys(key, batch)
        result = images
        rounds = drawn(keys, *images.shape[1:3])
        for operations, strength in zip(*rounds, strict=True):
            result = colored(result, operations, strength)
        return {**batch, "image": result.astype(images.dtype)}

    def warp(keys: Array, height: int, width: int) -> Warp:
        matrices = None
        for operations, strength in zip(*drawn(keys, height, width), strict=True):
            matrix = moving(operations, strength, height, width)
            matrices = matrix if matrices is None else product(matrix, matrices)
        return Warp(matrices)

    return Composed((((), colors), ((), Geometric(warp))))


def _operations(draws: Array) -> Array:
    last = len(OPERATIONS) - 1
    drawn = jnp.floor(mixture(draws, 0, len(OPERATIONS))).astype(jnp.int32)
    return jnp.minimum(drawn, last)
