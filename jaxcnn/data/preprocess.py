"""Preprocessing as data: what stands between stored pixels and the model."""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.data.resample import INTERPOLATIONS, resize_and_crop, resized_shape
from jaxcnn.tree import nearest
from jaxcnn.typing import Array


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """How stored images become the model's input; plain values, saved with a run.

    Attributes:
        mean: Subtracted from every channel of an image in [0, 1]; empty for none.
        std: Divides every channel after that; empty for none.
        size: (height, width) to resize to, or None.
        channel_order: `"RGB"`, or `"BGR"` to reverse the stored RGB; mean and std are
            in the order that the model gets.
        resize: Pixels of the shorter side to resize to, the proportions kept; instead
            of `size`.
        crop: (height, width) of the centre to keep after the resize, or None. Zeros
            come in where it is larger than the image.
        interpolation: `"bilinear"`, `"bicubic"` or `"lanczos"`, antialiased, as
            Pillow's are.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: tuple[int, int] | None = None
    channel_order: str = "RGB"
    resize: int | None = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("mean", "std", "size", "crop"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _numbers(name, value))
        self._check_sizes()
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

    def _check_sizes(self) -> None:
        for name in ("size", "crop"):
            value = getattr(self, name)
            if value is not None and (len(value) != 2 or min(value) < 1):
                raise ValueError(f"{name} must be (height, width), got {value}.")
        if self.resize is not None:
            if not isinstance(self.resize, int) or self.resize < 1:
                raise ValueError(
                    f"resize must be a whole number of at least 1, got {self.resize}."
                )
            if self.size is not None:
                raise ValueError("size and resize exclude each other; give one.")
        if not isinstance(self.interpolation, str):
            raise ValueError(f"interpolation must be text, got {self.interpolation!r}.")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got "
                f"{self.interpolation!r}.{nearest(self.interpolation, INTERPOLATIONS)}"
            )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PreprocessConfig":
        """Returns the configuration that `dataclasses.asdict` and JSON wrote."""
        return cls(**values)


def _numbers(name: str, values: Any) -> tuple[Any, ...]:
    try:
        found = tuple(values)
    except TypeError:
        found = (None,)
    kind = numbers.Integral if name in ("size", "crop") else numbers.Real
    if not all(isinstance(x, kind) and math.isfinite(x) for x in found):
        raise ValueError(f"{name} must be a tuple of numbers, got {values!r}.")
    return found


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


def make_preprocess(config: Any) -> Callable[[Array], Array]:
    """Returns `preprocess(images) -> images`, pure, for use inside a compiled step.

    Images are resized and cropped, scaled to [0, 1], their channels put in order, and
    standardised. Stored integers are resized as Pillow does, rounding included.

    Args:
        config: A `PreprocessConfig`, or anything that holds one as `.preprocess`: what
            `pretrained_config` returns, or a `RunConfig`. None only scales integers.

    Returns:
        A function of `[batch, height, width, channels]` images, uint8 or float in
        [0, 1], that gives float32. It raises ValueError if the channels do not match.
        Under jit images of each new size compile anew.
    """
    if config is not None and not isinstance(config, PreprocessConfig):
        config = config.preprocess
    if config is None:
        return to_float

    def preprocess(images: Array) -> Array:
        images = _resized(images, config)
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


def _resized(images: Array, config: PreprocessConfig) -> Array:
    """Returns images resized and cropped as they are stored, then as floats."""
    floats = to_float(images)
    if config.size is None and config.resize is None and config.crop is None:
        return floats
    if floats.ndim != 4:
        raise ValueError(
            "size needs images [batch, height, width, channels], "
            f"got {list(floats.shape)}."
        )
    old = floats.shape[1:3]
    size = old if config.size is None else config.size
    if config.resize is not None:
        size = resized_shape(*old, config.resize)
    if old == size == (config.crop or size):
        return floats
    images = jnp.asarray(images)
    found = resize_and_crop(images, size, config.crop, config.interpolation)
    if jnp.issubdtype(images.dtype, jnp.integer):
        return found / np.float32(jnp.iinfo(images.dtype).max)
    return found
