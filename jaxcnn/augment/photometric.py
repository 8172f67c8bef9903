"""Random colours: each image its own strength, and a share left as it is.

A strength drawn from `amount` is a factor in [1 - amount, 1 + amount], not below 0.
Only `"image"` changes; boxes, masks and a target stay.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcnn.augment import color, filters, histogram
from jaxcnn.augment.batch import Augment, check_floats, check_images, example_keys
from jaxcnn.augment.draws import check_range, chosen, mixture, per_image, uniform
from jaxcnn.augment.geometry import check_probability
from jaxcnn.typing import Array


def color_jitter(
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.0,
) -> Augment:
    """Returns an augmentation that changes brightness, contrast, saturation and hue.

    In this order for all images (torchvision and Pillow's users shuffle it, at the
    price of all orders being computed where images are computed together).

    Args:
        brightness: Largest change of the factor, 0 for none.
        contrast: The same.
        saturation: The same; of images with 3 channels.
        hue: Largest part of the circle of colours to either side, up to 0.5.

    Raises:
        ValueError: if an amount is negative, or `hue` above 0.5.
    """
    amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in amounts.items():
        check_range(name, value, 0, 10)
    check_range("hue", hue, 0, 0.5)

    def change(keys: Array, images: Array) -> Array:
        draws = uniform(keys, 4)
        for draw, (name, amount) in zip(draws, amounts.items(), strict=False):
            if amount:
                factors = _factors(draw, amount)
                images = getattr(color, name)(images, factors)
        return color.hue(images, hue * draws[3]) if hue else images

    return _images(change)


def random_brightness(amount: float = 0.2) -> Augment:
    """Returns an augmentation that multiplies an image by a factor around 1.

    Raises:
        ValueError: if `amount` is negative.
    """
    return color_jitter(_amount(amount), 0, 0)


def random_contrast(amount: float = 0.2) -> Augment:
    """Returns an augmentation that stretches or shrinks an image's values.

    Raises:
        ValueError: if `amount` is negative.
    """
    return color_jitter(0, _amount(amount), 0)


def random_saturation(amount: float = 0.2) -> Augment:
    """Returns an augmentation that makes colours stronger or weaker.

    Raises:
        ValueError: if `amount` is negative.
    """
    return color_jitter(0, 0, _amount(amount))


def random_hue(amount: float = 0.05) -> Augment:
    """Returns an augmentation that turns the circle of colours to either side.

    Raises:
        ValueError: if `amount` is not between 0 and 0.5.
    """
    check_range("amount", amount, 0, 0.5)
    return color_jitter(0, 0, 0, amount)


def random_sharpness(amount: float = 0.5) -> Augment:
    """Returns an augmentation that sharpens an image or smooths it a little.

    Raises:
        ValueError: if `amount` is negative.
    """
    _amount(amount)
    return _images(
        lambda keys, x: filters.sharpness(x, _factors(uniform(keys)[0], amount))
    )


def random_gray(probability: float = 0.1) -> Augment:
    """Returns an augmentation that takes the colour out of a share of the images.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    return _share(probability, color.gray)


def random_invert(probability: float = 0.5) -> Augment:
    """Returns an augmentation that makes negatives of a share of the images.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    return _share(probability, color.invert)


def random_solarize(threshold: float = 0.5, probability: float = 0.5) -> Augment:
    """Returns an augmentation that inverts bright pixels of a share of the images.

    Args:
        threshold: From which value up.
        probability: Share of the images.

    Raises:
        ValueError: if an argument is not between 0 and 1.
    """
    check_range("threshold", threshold, 0, 1)
    return _share(probability, lambda x: color.solarize(x, jnp.full(len(x), threshold)))


def random_posterize(bits: int = 4, probability: float = 0.5) -> Augment:
    """Returns an augmentation that leaves a share of the images a few levels.

    Args:
        bits: The levels are 2 to the power of it.
        probability: Share of the images.

    Raises:
        ValueError: if `bits` is not from 1 to 8, or `probability` not from 0 to 1.
    """
    check_range("bits", bits, 1, 8)
    if bits != int(bits):
        raise ValueError(f"bits={bits!r} must be a whole number.")
    return _share(probability, lambda x: color.posterize(x, jnp.full(len(x), bits)))


def random_equalize(probability: float = 0.5) -> Augment:
    """Returns an augmentation that equalizes the histograms of a share of the images.

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    return _share(probability, histogram.equalize)


def random_autocontrast(probability: float = 0.5) -> Augment:
    """Returns an augmentation that stretches a share of the images to all of [0, 1].

    Raises:
        ValueError: if `probability` is not between 0 and 1.
    """
    return _share(probability, histogram.autocontrast)


def random_blur(
    sigma: tuple[float, float] = (0.1, 2.0), probability: float = 0.5
) -> Augment:
    """Returns an augmentation that blurs a share of the images.

    The Gaussian is cut off after three of the largest deviations.

    Args:
        sigma: Smallest and largest deviation in pixels.
        probability: Share of the images.

    Raises:
        ValueError: if deviations are not two numbers above 0 in order, or
            `probability` is not between 0 and 1.
    """
    check_range("sigma", sigma, 1e-3, 1e3, pair=True)
    check_probability(probability)

    def change(keys: Array, images: Array) -> Array:
        draws = uniform(keys, 2)
        blurred = filters.gaussian_blur(
            images, mixture(draws[0], *sigma), math.ceil(3 * sigma[1])
        )
        return jnp.where(per_image(chosen(draws[1], probability)), blurred, images)

    return _images(change)


def random_noise(std: float = 0.1) -> Augment:
    """Returns an augmentation that adds Gaussian noise of a random strength.

    Unlike `gaussian_noise`, it keeps no clean image to restore.

    Args:
        std: Largest deviation, the range of the pixels being 1.

    Raises:
        ValueError: if `std` is not between 0 and 1.
    """
    check_range("std", std, 0, 1)

    def change(keys: Array, images: Array) -> Array:
        def draw(key: Array) -> Array:
            key, other = jax.random.split(key)
            noise = jax.random.normal(key, images.shape[1:], images.dtype)
            return std * jax.random.uniform(other) * noise

        return jnp.clip(images + jax.vmap(draw)(keys), 0, 1)

    return _images(change)


def _images(change: Callable[[Array, Array], Array]) -> Augment:
    def augment(key, batch):
        images = check_floats(check_images(batch["image"]))
        changed = change(example_keys(key, batch), images)
        return {**batch, "image": changed.astype(images.dtype)}

    return augment


def _share(probability: float, change: Callable[[Array], Array]) -> Augment:
    check_probability(probability)

    def some(keys: Array, images: Array) -> Array:
        picked = per_image(chosen(uniform(keys)[0], probability))
        return jnp.where(picked, change(images), images)

    return _images(some)


def _factors(draws: Array, amount: float) -> Array:
    return mixture(draws, max(0.0, 1 - amount), 1 + amount)


def _amount(value: float) -> float:
    check_range("amount", value, 0, 10)
    return value
