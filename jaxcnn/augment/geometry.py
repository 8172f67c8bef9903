"""Augmentations that move pixels: mirror, shift, rotate, scale."""

import numbers

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import (
    Augment,
    check_floats,
    check_images,
    example_keys,
    map_images,
)
from jaxcnn.typing import Array


def random_flip(probability: float = 0.5) -> Augment:
    """Returns an augmentation that mirrors an image left to right, or does not.

    Not for digits and letters, which mean something else in a mirror.

    Args:
        probability: Share of the images that are mirrored.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability={probability} is not between 0 and 1.")

    def augment(key, batch):
        keys = example_keys(key, batch)
        flipped = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)
        flipped = flipped[:, None, None, None]
        return map_images(lambda x: jnp.where(flipped, x[:, :, ::-1], x), batch)

    return augment


def pad_crop(padding: int = 4) -> Augment:
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


def random_shift(max_pixels: int = 2) -> Augment:
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
) -> Augment:
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

    def augment(key, batch):
        keys = example_keys(key, batch)
        draws = jax.vmap(lambda key: jax.random.uniform(key, (4,), minval=-1.0))(keys)
        low, high = scale
        height, width = check_images(batch["image"]).shape[1:3]
        sizes = jnp.array([[height, width]], jnp.float32)
        amounts = {
            "degrees": degrees * draws[:, 0],
            "scales": low + (high - low) * (draws[:, 1] + 1) / 2,
            "shifts": translate * sizes * draws[:, 2:],
        }
        return map_images(lambda x: affine(x, **amounts), batch)

    return augment


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
    batch, height, width, channels = images.shape
    # One frame of zeros: whatever lies further out is clipped into it.
    framed = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    framed = framed.reshape(batch, (height + 2) * (width + 2), channels)
    rows = jnp.clip(rows + 1, 0, height + 1)
    columns = jnp.clip(columns + 1, 0, width + 1)
    top = jnp.clip(jnp.floor(rows), 0, height)
    left = jnp.clip(jnp.floor(columns), 0, width)
    result = 0
    for down, by_row in enumerate((1 - (rows - top), rows - top)):
        for right, by_column in enumerate((1 - (columns - left), columns - left)):
            index = ((top + down) * (width + 2) + left + right).astype(jnp.int32)
            pixels = jnp.take_along_axis(
                framed, index[:, :, None], axis=1, mode="promise_in_bounds"
            )
            weights = (by_row * by_column).astype(images.dtype)
            result = result + weights[:, :, None] * pixels
    return result.reshape(images.shape)


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


def _shift(pixels: int) -> Augment:
    def augment(key, batch):
        def crop(image, offset):
            return jax.lax.dynamic_slice(image, (*offset, 0), shape)

        keys = example_keys(key, batch)
        offsets = jax.vmap(
            lambda key: jax.random.randint(key, (2,), 0, 2 * pixels + 1)
        )(keys)
        shape = batch["image"].shape[1:]
        frame = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
        return map_images(lambda x: jax.vmap(crop)(jnp.pad(x, frame), offsets), batch)

    return augment


def _check_pixels(argument: str, value: int) -> None:
    if not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{argument}={value!r} must be a whole number of pixels >= 0.")
