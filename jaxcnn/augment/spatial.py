"""Random geometry that fuses: rotate, shear, shift, zoom, crop, perspective, elastic.

Each draws a matrix, or displacements, for every image. What follows each other in
`compose` is put together and resampled once, bilinear, zeros coming in.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.augment.draws import check_range, chosen, mixture, uniform
from jaxcnn.augment.geometry import check_probability
from jaxcnn.augment.matrices import (
    cropping,
    homography,
    rotation,
    scaling,
    shearing,
    translation,
)
from jaxcnn.augment.warps import Geometric, Warp
from jaxcnn.typing import Array

# How often a crop or a box is drawn before the fallback, as in torchvision.
TRIES = 10


def random_rotate(degrees: float = 15.0) -> Geometric:
    """Returns an augmentation that rotates an image about its centre.

    Args:
        degrees: Largest rotation to either side; all angles up to it are as likely.

    Raises:
        ValueError: if it is not between 0 and 180.
    """
    check_range("degrees", degrees, 0, 180)
    return Geometric(lambda keys, *_: Warp(rotation(degrees * uniform(keys)[0])))


def random_shear(x: float = 10.0, y: float = 0.0) -> Geometric:
    """Returns an augmentation that makes an image lean.

    Args:
        x: Largest angle, in degrees to either side, by which columns lean.
        y: The same for rows.

    Raises:
        ValueError: if an angle is not from 0 to below 90.
    """
    for name, value in (("x", x), ("y", y)):
        check_range(name, value, 0, 89)

    def draw(keys: Array, height: int, width: int) -> Warp:
        across, down = uniform(keys, 2)
        angles = jnp.deg2rad(x * across), jnp.deg2rad(y * down)
        return Warp(shearing(jnp.tan(angles[0]), jnp.tan(angles[1])))

    return Geometric(draw)


def random_translate(x: float = 0.1, y: float = 0.1) -> Geometric:
    """Returns an augmentation that shifts an image, by fractions of pixels too.

    Args:
        x: Largest shift to the left or right, as a share of the width.
        y: Largest shift up or down, as a share of the height.

    Raises:
        ValueError: if a share is not between 0 and 1.
    """
    for name, value in (("x", x), ("y", y)):
        check_range(name, value, 0, 1)

    def draw(keys: Array, height: int, width: int) -> Warp:
        across, down = uniform(keys, 2)
        return Warp(translation(x * width * across, y * height * down))

    return Geometric(draw)


def random_zoom(
    scale: tuple[float, float] = (0.8, 1.25),
    vertical: tuple[float, float] | None = None,
) -> Geometric:
    """Returns an augmentation that magnifies an image about its centre.

    A factor and its inverse are as likely: the logarithm is drawn uniformly.

    Args:
        scale: Smallest and largest factor.
        vertical: The same for the height alone, `scale` then being of the width; by
            default both are magnified alike.

    Raises:
        ValueError: if factors are not two positive numbers in order.
    """
    for name, value in (("scale", scale), ("vertical", vertical or scale)):
        check_range(name, value, 1e-3, 1e3, pair=True)

    def draw(keys: Array, height: int, width: int) -> Warp:
        draws = uniform(keys, 2)
        across = jnp.exp(mixture(draws[0], *map(math.log, scale)))
        if vertical is None:
            return Warp(scaling(across, across))
        down = jnp.exp(mixture(draws[1], *map(math.log, vertical)))
        return Warp(scaling(across, down))

    return Geometric(draw)


def random_resized_crop(
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Geometric:
    """Returns an augmentation that makes a random part of an image as large as it.

    The same as torchvision's `RandomResizedCrop` to the size that images have: pixels
    on the edge of the crop stand for those beyond it, and as a crop is never larger
    than the result, there is nothing to antialias.

    Args:
        area: Smallest and largest share of the image.
        aspect: Smallest and largest width over height, of the crop in pixels.

    Raises:
        ValueError: if they are not two numbers in order, or an area is above 1.

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6,
        https://arxiv.org/abs/1409.4842.
    """
    check_range("area", area, 1e-6, 1, pair=True)
    check_range("aspect", aspect, 1e-3, 1e3, pair=True)

    def draw(keys: Array, height: int, width: int) -> Warp:
        boxes, found = drawn_boxes(keys, area, aspect, height, width)
        whole = jnp.array([[0, 0, width, height]], boxes.dtype)
        boxes = jnp.where(found[:, None], boxes, whole)
        return Warp(cropping(boxes, height, width), window=boxes)

    return Geometric(draw)


def drawn_boxes(
    keys: Array,
    area: tuple[float, float],
    aspect: tuple[float, float],
    height: int,
    width: int,
    *,
    smaller: bool = False,
) -> tuple[Array, Array]:
    """Returns random boxes inside images, the first of ten tries that fits.

    Args:
        keys: One for each image.
        area: Smallest and largest share of the image.
        aspect: Smallest and largest width over height.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        smaller: Whether a box must be less high and less wide than the image.

    Returns:
        Left, top, right and bottom, whole pixels, `[batch, 4]`, and whether a try
        fitted, `[batch]`.
    """
    draws = uniform(keys, 4 * TRIES).reshape(4, TRIES, -1)
    share = mixture(draws[0], *area) * height * width
    ratio = jnp.exp(mixture(draws[1], *map(math.log, aspect)))
    wide, high = jnp.round(jnp.sqrt(share * ratio)), jnp.round(jnp.sqrt(share / ratio))
    limits = (width - smaller, height - smaller)
    fits = (wide >= 1) & (wide <= limits[0]) & (high >= 1) & (high <= limits[1])
    first = jnp.argmax(fits, axis=0)[None]
    wide, high, across, down = (
        jnp.take_along_axis(x, first, axis=0)[0]
        for x in (wide, high, (draws[2] + 1) / 2, (draws[3] + 1) / 2)
    )
    left = jnp.floor(across * (width - wide + 1))
    top = jnp.floor(down * (height - high + 1))
    boxes = jnp.stack([left, top, left + wide, top + high], axis=1)
    return boxes.astype(jnp.int32), fits.any(axis=0)


def random_perspective(distortion: float = 0.5, probability: float = 0.5) -> Geometric:
    """Returns an augmentation that looks at an image from somewhere else.

    Every corner moves inwards by up to `distortion` halves of the image.

    Args:
        distortion: 0 for none, 1 for corners that may meet in the middle.
        probability: Share of the images that are changed.

    Raises:
        ValueError: if an argument is not between 0 and 1.
    """
    check_range("distortion", distortion, 0, 1)
    check_probability(probability)

    def draw(keys: Array, height: int, width: int) -> Warp:
        draws = uniform(keys, 9)
        half = jnp.array([width / 2, height / 2], jnp.float32)[None, None]
        signs = jnp.array([[[-1, -1], [1, -1], [1, 1], [-1, 1]]], jnp.float32)
        inwards = (draws[:8].T.reshape(-1, 4, 2) + 1) / 2 * distortion
        moves = chosen(draws[8], probability)[:, None, None]
        # Three corners on a line would leave no perspective at all.
        inwards = 0.98 * jnp.where(moves, inwards, 0.0)
        start = jnp.broadcast_to(signs * half, inwards.shape)
        return Warp(homography(start, start * (1 - inwards)))

    return Geometric(draw)


def random_elastic(alpha: float = 50.0, sigma: float = 5.0) -> Geometric:
    """Returns an augmentation that bends an image as if it were seen through water.

    Displacements are uniform noise, smoothed by a Gaussian of `sigma` pixels and
    multiplied by `alpha / 2` pixels: torchvision's `ElasticTransform`.

    Args:
        alpha: Strength.
        sigma: Smoothness in pixels.

    Raises:
        ValueError: if `alpha` is negative or `sigma` not above 0.

    References:
        Simard et al., "Best Practices for Convolutional Neural Networks Applied to
        Visual Document Analysis", ICDAR 2003, section 2.
    """
    check_range("alpha", alpha, 0, 1e6)
    check_range("sigma", sigma, 1e-3, 1e3)

    def draw(keys: Array, height: int, width: int) -> Warp:
        def noise(key: Array) -> Array:
            return jax.random.uniform(key, (height, width, 2), minval=-1.0)

        down, across = smoothing(height, sigma), smoothing(width, sigma)
        smooth = jnp.einsum(
            "ij,bjkc,lk->bilc",
            down,
            jax.vmap(noise)(keys),
            across,
            precision=jax.lax.Precision.HIGHEST,
        )
        return Warp(displacement=alpha / 2 * smooth)

    return Geometric(draw)


def smoothing(size: int, sigma: float) -> np.ndarray:
    """Returns the matrix that smooths a row of pixels, mirrored at its ends.

    The Gaussian is cut off after four deviations. Rows that are shorter are mirrored
    several times.

    Args:
        size: Pixels in a row.
        sigma: Deviation, in pixels.
    """
    radius = int(8 * sigma + 1) // 2
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    period = max(2 * (size - 1), 1)
    matrix = np.zeros((size, size))
    for row in range(size):
        source = np.abs((row + offsets + size - 1) % period - (size - 1))
        np.add.at(matrix[row], source, weights)
    return matrix.astype(np.float32)
