"""Noise to be removed: the task of a denoising autoencoder."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import Augment, check_floats, example_keys
from jaxcnn.typing import Array


def gaussian_noise(std: float) -> Augment:
    """Returns an augmentation that adds Gaussian noise and keeps the clean image.

    `"image"` becomes `clip(image + noise, 0, 1)` and `"target"` the image without the
    noise, unless the batch has a target already.

    Args:
        std: Standard deviation of the noise, the range of the pixels being 1.

    Raises:
        ValueError: if `std` is negative.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010,
        https://jmlr.org/papers/v11/vincent10a.html.
    """
    if not 0 <= std < float("inf"):
        raise ValueError(f"std={std} is not a finite number >= 0.")

    def augment(key, batch):
        images = check_floats(batch["image"])

        def draw(key: Array) -> Array:
            return jax.random.normal(key, images.shape[1:], images.dtype)

        noise = jax.vmap(draw)(example_keys(key, batch))
        noisy = jnp.clip(images + std * noise, 0.0, 1.0)
        return {"target": images, **batch, "image": noisy}

    return augment
