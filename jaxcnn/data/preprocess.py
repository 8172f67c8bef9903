"""Preprocessing as data: what stands between stored pixels and the model."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.typing import Array


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """How stored images become the model's input; plain values, saved with a run.

    Attributes:
        mean: Subtracted from every channel of an image in [0, 1]; empty for none.
        std: Divides every channel after that; empty for none.
        size: (height, width) to resize to (bilinear, antialiased), or None.
        channel_order: `"RGB"`, or `"BGR"` to reverse the stored RGB.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: tuple[int, int] | None = None
    channel_order: str = "RGB"

    def __post_init__(self) -> None:
        for name in ("mean", "std", "size"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _numbers(name, value))
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size must be (height, width), got {self.size}.")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} channels and std {len(self.std)}; "
                "give both for every channel, or neither."
            )
        if any(value <= 0 for value in self.std):
            raise ValueError(f"std must be above 0 in every channel, got {self.std}.")
        if self.channel_order not in ("RGB", "BGR"):
            raise ValueError(
                f"channel_order must be 'RGB' or 'BGR', got {self.channel_order!r}."
            )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PreprocessConfig":
        """Returns the configuration that `dataclasses.asdict` and JSON wrote."""
        return cls(**values)


def _numbers(name: str, values: Any) -> tuple[Any, ...]:
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"{name} must be a tuple of numbers, got {values}.") from None


def to_float(images: Array) -> Array:
    """Returns images as floats: integers divided by their type's maximum, floats as is.

    Args:
        images: uint8 or uint16 as stored, or floats in [0, 1].

    Raises:
        ValueError: for wider integers: no image is stored in them, so that 0 to 255
            would become almost 0.

    Example:
        >>> print(to_float(jnp.array([0, 255], jnp.uint8)))
        [0. 1.]
    """
    images = jnp.asarray(images)
    if jnp.issubdtype(images.dtype, jnp.integer):
        if images.dtype.itemsize > 2:
            raise ValueError(
                f"images are {images.dtype}; give uint8, uint16 or floats in [0, 1]."
            )
        return images.astype(jnp.float32) / np.float32(jnp.iinfo(images.dtype).max)
    return images


def make_preprocess(config: PreprocessConfig | None) -> Callable[[Array], Array]:
    """Returns `preprocess(images) -> images`, pure, for use inside a compiled step.

    Args:
        config: What to do; None only scales integers to [0, 1].

    Returns:
        A function of `[batch, height, width, channels]` images, uint8 or float in
        [0, 1], that gives float32. It raises ValueError if the channels do not match.
    """
    if config is None:
        return to_float

    def preprocess(images: Array) -> Array:
        images = to_float(images)
        if config.size is not None and images.ndim != 4:
            raise ValueError(
                "size needs images [batch, height, width, channels], "
                f"got {list(images.shape)}."
            )
        if config.size is not None and images.shape[1:3] != config.size:
            shape = (images.shape[0], *config.size, images.shape[-1])
            images = jax.image.resize(images, shape, "bilinear")
        if config.channel_order == "BGR":
            images = images[..., ::-1]
        if config.mean:
            if len(config.mean) != images.shape[-1]:
                raise ValueError(
                    f"images {list(images.shape)} have {images.shape[-1]} channels, "
                    f"the preprocessing has {len(config.mean)}."
                )
            # Of the images' rank, as rank promotion is an error in strict mode.
            shape = (1,) * (images.ndim - 1) + (-1,)
            mean = np.asarray(config.mean, np.float32).reshape(shape)
            std = np.asarray(config.std, np.float32).reshape(shape)
            images = (images - mean) / std
        return images

    return preprocess
