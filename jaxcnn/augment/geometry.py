"""Augmentations that move pixels: mirror, shift, rotate, scale."""

import numbers

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import check_floats
from jaxcnn.augment.matrices import product, rotation, scaling, translation
from jaxcnn.augment.resample import bilinear
from jaxcnn.augment.warps import Geometric, Warp
from jaxcnn.typing import Array


def random_flip(probability: float = 0.5) -> Geometric:
    """Returns an augmentation that mirrors an image left to right, or does not.

    Not for digits and letters, which mean something else in a mirror.

    Args:
        probability: Share of the images that are mirrored.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    check_probability(probability)
    return _flip(probability, 1)


def random_vertical_flip(probability: float = 0.5) -> Geometric:
    """Returns an augmentation that mirrors an image top to bottom, or does not.

    For images without an up and a down: cells, tissue, satellite pictures.

    Args:
        probability: Share of the images that are mirrored.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    check_probability(probability)
    return _flip(probability, 0)


def pad_crop(padding: int = 4) -> Geometric:
    """Returns an augmentation that pads an image with zeros and crops it at random.

    The crop has the image's own size, so the image moves by up to `padding` pixels up,
    down, left and right, each of the `(2 * padding + 1) ** 2` shifts as likely.

    Args:
        padding: Zeros added on every side, in pixels; 4 is usual for 32x32 images.

    Raises:
        ValueError: if `padding` is not an integer of 0 or more.

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section
        4.2, https://arxiv.org/abs/1512.03385.
    """
    _check_pixels("padding", padding)
    return _shift(padding)


def random_shift(max_pixels: int = 2) -> Geometric:
    """Returns an augmentation that moves an image by whole pixels, zeros coming in.

    The same as `pad_crop`, under the name that one looks for with digits.

    Args:
        max_pixels: The furthest that it moves up, down, left and right.

    Raises:
        ValueError: if `max_pixels` is not an integer of 0 or more.
    """
    _check_pixels("max_pixels", max_pixels)
    return _shift(max_pixels)


def random_affine(
    degrees: float = 10.0,
    translate: float = 0.1,
    scale: tuple[float, float] = (0.9, 1.1),
) -> Geometric:
    """Returns an augmentation that rotates, scales and shifts an image.

    All four amounts are drawn uniformly, the image is resampled once (bilinear), and
    zeros come in.

    Args:
        degrees: Largest rotation to either side.
        translate: Largest shift to either side, as a share of height and of width.
        scale: Smallest and largest magnification.

    Raises:
        ValueError: if an amount is negative, or `scale` is not two positive numbers in
            order.
    """
    if degrees < 0:
        raise ValueError(f"degrees={degrees} must be >= 0.")
    if not 0 <= translate <= 1:
        raise ValueError(f"translate={translate} is not between 0 and 1.")
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise ValueError(
            f"scale={scale} must be the smallest and the largest factor, both > 0."
        )

    def amounts(keys: Array, height: int, width: int) -> dict[str, Array]:
        draws = jax.vmap(lambda key: jax.random.uniform(key, (4,), minval=-1.0))(keys)
        low, high = scale
        sizes = jnp.array([[height, width]], jnp.float32)
        return {
            "degrees": degrees * draws[:, 0],
            "scales": low + (high - low) * (draws[:, 1] + 1) / 2,
            "shifts": translate * sizes * draws[:, 2:],
        }

    def draw(keys: Array, height: int, width: int) -> Warp:
        drawn = amounts(keys, height, width)
        down, right = drawn["shifts"].T
        turned = product(
            rotation(drawn["degrees"]), scaling(drawn["scales"], drawn["scales"])
        )
        return Warp(product(translation(right, down), turned))

    def pixels(keys: Array, images: Array) -> Array:
        return affine(images, **amounts(keys, *images.shape[1:3]))

    return Geometric(draw, pixels)


def affine(images: Array, degrees: Array, scales: Array, shifts: Array) -> Array:
    """Rotates and scales images about their centres, then shifts them.

    Args:
        images: `[batch, height, width, channels]`, floats.
        degrees: Rotation counter-clockwise, `[batch]`.
        scales: Magnification, `[batch]`.
        shifts: Pixels down and to the right, `[batch, 2]`.

    Returns:
        Images of the same shape and type. Every pixel is interpolated between the four
        pixels around the point that it comes from; beyond the border all is 0.

    Raises:
        ValueError: if the images are not floats.
    """
    rows, columns = _sources(check_floats(images).shape, degrees, scales, shifts)
    return bilinear(images, rows, columns).reshape(images.shape)


def _sources(
    shape: tuple[int, ...], degrees: Array, scales: Array, shifts: Array
) -> tuple[Array, Array]:
    """Returns the row and column that every pixel comes from, `[batch, pixels]`."""
    _, height, width, _ = shape
    middle = (height - 1) / 2, (width - 1) / 2
    down, right = jnp.indices((height, width), jnp.float32).reshape(2, 1, -1)
    down = down - middle[0] - shifts[:, :1]
    right = right - middle[1] - shifts[:, 1:]
    angle = jnp.deg2rad(degrees)
    cos = (jnp.cos(angle) / scales)[:, None]
    sin = (jnp.sin(angle) / scales)[:, None]
    rows = cos * down + sin * right + middle[0]
    columns = cos * right - sin * down + middle[1]
    return rows, columns


def _flip(probability: float, axis: int) -> Geometric:
    def draw(keys: Array, height: int, width: int) -> Warp:
        sign = jnp.where(_flipped(keys, probability), -1.0, 1.0)
        one = jnp.ones_like(sign)
        return Warp(scaling(sign, one) if axis == 1 else scaling(one, sign))

    def pixels(keys: Array, images: Array) -> Array:
        flipped = _flipped(keys, probability)[:, None, None, None]
        return jnp.where(flipped, jnp.flip(images, 1 + axis), images)

    return Geometric(draw, pixels)


def _flipped(keys: Array, probability: float) -> Array:
    return jax.vmap(lambda key: jax.random.bernoulli(key, float(probability)))(keys)


def _shift(pixels: int) -> Geometric:
    def offsets(keys: Array) -> Array:
        return jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 2 * pixels + 1))(
            keys
        )

    def draw(keys: Array, height: int, width: int) -> Warp:
        down, right = (pixels - offsets(keys)).T
        return Warp(translation(right, down))

    def moved(keys: Array, images: Array) -> Array:
        def crop(image: Array, offset: Array) -> Array:
            return jax.lax.dynamic_slice(image, (*offset, 0), images.shape[1:])

        frame = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
        return jax.vmap(crop)(jnp.pad(images, frame), offsets(keys))

    return Geometric(draw, moved)


def check_probability(value: float) -> None:
    """Raises ValueError unless `value` is between 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"probability={value} is not between 0 and 1.")


def _check_pixels(argument: str, value: int) -> None:
    if not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{argument}={value!r} must be a whole number of pixels >= 0.")
