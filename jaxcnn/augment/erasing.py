"""Random erasing: a box of the image is painted over."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import Augment, check_floats, check_images, example_keys
from jaxcnn.augment.draws import check_range, chosen, uniform
from jaxcnn.augment.geometry import check_probability
from jaxcnn.augment.spatial import drawn_boxes
from jaxcnn.typing import Array


def random_erasing(
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
    value: float | None = 0.0,
) -> Augment:
    """Returns an augmentation that paints over a box of a share of the images.

    Boxes to find and masks stay as they are: what is there is there, only hidden.

    Args:
        probability: Share of the images.
        area: Smallest and largest share of the image.
        aspect: Smallest and largest width over height of the box.
        value: What is painted, in [0, 1]; None for noise, a value for every pixel.

    Raises:
        ValueError: if an argument is out of its range.

    References:
        Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, section 3,
        https://arxiv.org/abs/1708.04896.
    """
    check_probability(probability)
    check_range("area", area, 1e-6, 1, pair=True)
    check_range("aspect", aspect, 1e-3, 1e3, pair=True)
    if value is not None:
        check_range("value", value, 0, 1)

    def augment(key, batch):
        images = check_floats(check_images(batch["image"]))
        keys = example_keys(key, batch)
        own = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
        boxes, found = drawn_boxes(
            own[:, 0], area, aspect, *images.shape[1:3], smaller=True
        )
        found &= chosen(uniform(own[:, 1])[0], probability)
        paint = value
        if value is None:
            draw = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:]))
            paint = draw(own[:, 2]).astype(images.dtype)
        boxes = jnp.where(found[:, None], boxes, 0)
        return {**batch, "image": erase(images, boxes, paint)}

    return augment


def erase(images: Array, boxes: Array, paint: Array | float) -> Array:
    """Returns images with a box of each painted over.

    Args:
        images: `[batch, height, width, channels]`.
        boxes: Left, top, right and bottom, the last two exclusive, `[batch, 4]`; a box
            without an area paints nothing.
        paint: A value, or an image of the same shape.
    """
    _, height, width, _ = images.shape
    left, top, right, bottom = boxes.T[:, :, None]
    rows, columns = jnp.arange(height)[None], jnp.arange(width)[None]
    inside = ((top <= rows) & (rows < bottom))[:, :, None] & (
        (left <= columns) & (columns < right)
    )[:, None, :]
    return jnp.where(inside[..., None], jnp.asarray(paint, images.dtype), images)
