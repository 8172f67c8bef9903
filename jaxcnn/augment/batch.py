"""What every augmentation needs: a key for each example, the images of a batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.typing import Array, Batch

#: `augment(key, batch) -> batch`, pure; images are floats in [0, 1].
Augment = Callable[[Array, Batch], dict[str, Any]]


def example_keys(key: Array, batch: Batch) -> Array:
    """Returns one key for every example: `key` with its position folded in.

    What an example draws therefore depends on the step's key and on its place in the
    global batch, but neither on the number of devices nor on which slice of the batch
    this one computes.

    Args:
        key: The key of the step.
        batch: A batch; `batch["position"]`, `[batch]` integers, is the index of every
            example in the global batch, without it the index in this one.

    Returns:
        Keys, `[batch]`.
    """
    positions = batch.get("position")
    if positions is None:
        positions = jnp.arange(len(batch["image"]))
    return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)


def map_images(function: Callable[[Array], Array], batch: Batch) -> dict[str, Any]:
    """Returns the batch with `function(images)` for its images.

    These are `"image"` and, where there is one of rank 4, `"target"`: the target of a
    reconstruction moves with its image.

    Raises:
        ValueError: if `"image"` is not `[batch, height, width, channels]`.
    """
    changed = {"image": function(check_images(batch["image"]))}
    if "target" in batch and batch["target"].ndim == 4:
        changed["target"] = function(batch["target"])
    return {**batch, **changed}


def check_images(images: Array) -> Array:
    """Returns images of rank 4; raises ValueError for any other rank."""
    if images.ndim != 4:
        raise ValueError(
            f"image {images.shape} cannot be augmented: "
            "[batch, height, width, channels] is needed."
        )
    return images


def check_floats(images: Array) -> Array:
    """Returns images of a float type; raises ValueError for integers."""
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"image of type {images.dtype} must be floats in [0, 1]; divide integers "
            "by the largest value of their type first."
        )
    return images
