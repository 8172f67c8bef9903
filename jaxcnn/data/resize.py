"""Images of one size from images of another, on the host, by Pillow."""

import dataclasses

import numpy as np

from jaxcnn.data.source import Source


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns a uint8 image `[H, W, C]` in another size, bilinear.

    Pillow widens the filter where it makes images smaller, so nothing aliases.

    Args:
        image: uint8 `[height, width, channels]`, any number of channels.
        size: `(height, width)`.
    """
    from PIL import Image

    height, width = size
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., c])).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        for c in range(image.shape[-1])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def resized(source: Source, size: tuple[int, int]) -> Source:
    """Returns a source with its uint8 images in another size `(height, width)`.

    Raises:
        ValueError: if the source holds no images, or they are not uint8.
    """
    if source.rank != 2:
        raise ValueError(
            f"image_size is for images; {source.name!r} holds {source.kind}"
        )
    if source.image_shape[:2] == tuple(size):
        return source
    if source.images.dtype != np.uint8:
        raise ValueError(
            f"images of {source.name!r} are {source.images.dtype}; only uint8 images "
            "are resized"
        )
    images = np.stack([resize_image(image, size) for image in source.images])
    return dataclasses.replace(source, images=images)


def check_image_size(size: tuple[int, int] | None) -> None:
    """Raises ValueError if `size` is neither None nor `(height, width)`."""
    if size is None:
        return
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"image_size is {size!r}, expected (height, width) in pixels")
