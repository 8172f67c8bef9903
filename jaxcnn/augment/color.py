"""Colours of images, by a strength for each: what the random operations call.

Images are `[batch, height, width, channels]` floats in [0, 1] and results stay there;
strengths are `[batch]`. Of one channel or three; brightness and contrast of any number.
Gray is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), as in Pillow; torchvision takes
0.2989, which makes white 0.9999. Nothing is rounded to 256 levels unless it says so.
"""

import jax.numpy as jnp

from jaxcnn.augment.draws import per_image
from jaxcnn.typing import Array

_GRAY = (0.299, 0.587, 0.114)


def brightness(images: Array, factors: Array) -> Array:
    """Returns images multiplied by their factors, cut off at 1."""
    return jnp.clip(images * per_image(factors), 0, 1)


def contrast(images: Array, factors: Array) -> Array:
    """Returns images whose distance from their mean gray is multiplied."""
    mean = luminance(images).mean(axis=(1, 2, 3), keepdims=True)
    return blend(images, mean, factors)


def saturation(images: Array, factors: Array) -> Array:
    """Returns images between their gray selves (0) and themselves (1), or beyond.

    Images of one channel stay as they are.

    Raises:
        ValueError: if there are other than 1 or 3 channels.
    """
    if check_colors(images) == 1:
        return images
    return blend(images, luminance(images), factors)


def gray(images: Array) -> Array:
    """Returns images without colour, in as many channels.

    Raises:
        ValueError: if there are other than 1 or 3 channels.
    """
    check_colors(images)
    return jnp.broadcast_to(luminance(images), images.shape)


def hue(images: Array, shifts: Array) -> Array:
    """Returns images whose hues have gone round the circle of colours by a share.

    Args:
        images: Those of one channel stay as they are.
        shifts: 0.5 gives the complementary colours, as -0.5 does.

    Raises:
        ValueError: if there are other than 1 or 3 channels.
    """
    if check_colors(images) == 1:
        return images
    hues, saturations, values = _to_hsv(images)
    return _to_rgb((hues + per_image(shifts)[..., 0]) % 1.0, saturations, values)


def invert(images: Array) -> Array:
    """Returns negatives, `1 - images`."""
    return 1 - images


def solarize(images: Array, thresholds: Array) -> Array:
    """Returns images in which all values from the threshold up are inverted."""
    return jnp.where(images >= per_image(thresholds), 1 - images, images)


def posterize(images: Array, bits: Array) -> Array:
    """Returns images with their lowest bits set to 0, as of bytes.

    Values are rounded to bytes first (not so where all 8 bits stay), as Pillow and
    torchvision have them for uint8. The derivative is 0.

    Args:
        images: The images.
        bits: How many of the eight are left, from 0.
    """
    steps = per_image(2.0 ** (8 - bits.astype(jnp.float32))).astype(images.dtype)
    bytes_ = jnp.round(images * 255)
    return jnp.where(steps == 1, images, jnp.floor(bytes_ / steps) * steps / 255)


def luminance(images: Array) -> Array:
    """Returns the gray of RGB, else the mean of the channels, with one channel."""
    if images.shape[-1] != 3:
        return images.mean(axis=-1, keepdims=True)
    red, green, blue = (images[..., k : k + 1] for k in range(3))
    return _GRAY[0] * red + _GRAY[1] * green + _GRAY[2] * blue


def blend(images: Array, others: Array, factors: Array) -> Array:
    """Returns `factor * image + (1 - factor) * other`, cut off at 0 and 1."""
    factors = per_image(factors).astype(images.dtype)
    return jnp.clip(images * factors + others * (1 - factors), 0, 1)


def check_colors(images: Array) -> int:
    """Returns the number of channels, 1 or 3.

    Raises:
        ValueError: if it is another.
    """
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise ValueError(
            f"image {images.shape} has {channels} channels; hue, saturation and gray "
            "are of images with 1 or 3 (RGB)."
        )
    return channels


def _to_hsv(images: Array) -> tuple[Array, Array, Array]:
    """Returns hue, saturation and value, each in [0, 1], `[batch, height, width]`."""
    red, green, blue = jnp.moveaxis(images, -1, 0)
    # Pair by pair: the derivative of `max` over an axis looks for the value again, and
    # is 0 / 0 where the compiler, computing it twice, rounded it differently.
    high = jnp.maximum(jnp.maximum(red, green), blue)
    low = jnp.minimum(jnp.minimum(red, green), blue)
    spread = high - low
    # No colour, no hue: a divisor of 1 keeps the gradient finite as well.
    safe = jnp.where(spread == 0, 1, spread)
    sector = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / safe,
        jnp.where(green >= blue, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return (sector / 6) % 1.0, spread / jnp.where(high == 0, 1, high), high


def _to_rgb(hues: Array, saturations: Array, values: Array) -> Array:
    """Returns images: each channel is a trapezoid of the hue, a third apart."""

    def channel(start: float) -> Array:
        place = (start + 6 * hues) % 6
        dip = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
        return values * (1 - saturations * dip)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)
