"""Noisy images beside clean ones, the same at every start: data to denoise."""

import dataclasses

import numpy as np

from jaxcnn.data.randomness import Stream, generator
from jaxcnn.data.source import Source


def noisy(source: Source, std: float, seed: int = 0) -> Source:
    """Returns a source of noisy images with the clean ones as `target`.

    `image = clip(clean + n, 0, 1)` with Gaussian noise `n` that depends on the seed and
    the example's position alone, for validation and test; both are float32 in 0..1.
    In training noise is drawn anew each step by an augmentation instead.

    Args:
        source: Clean images.
        std: Standard deviation of the noise, in units where images span 0..1.
        seed: Chooses the noise.

    Raises:
        ValueError: if `std` is not positive, or the source holds no images.
    """
    if source.rank != 2:
        raise ValueError(
            f"noisy takes images, whose range is known; {source.name!r} holds "
            f"{source.kind}"
        )
    if not 0 < std < float("inf"):
        raise ValueError(f"std is {std!r}, expected a positive number")
    clean = source.images.astype(np.float32)
    if source.images.dtype == np.uint8:
        clean /= 255
    images = np.empty_like(clean)
    for index, image in enumerate(clean):
        rng = generator(seed, index, Stream.NOISE)
        noise = rng.standard_normal(image.shape, np.float32)
        np.clip(image + np.float32(std) * noise, 0, 1, out=images[index])
    return dataclasses.replace(
        source, images=images, extras={**source.extras, "target": clean}
    )
