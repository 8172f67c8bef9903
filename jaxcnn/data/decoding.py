"""From encoded files to uint8 pixels of one size, on the host."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.data.crops import Crop, Placement

#: What Pillow calls images of so many channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ORIENTATION = 0x0112
#: How a `.npy` file begins.
NPY_MAGIC = b"\x93NUMPY"
# How far the proportions of stacked files may differ: a pixel of rounding in 50.
_PROPORTIONS = 0.02
# The largest answer of a Sobel filter to bytes, 4 * 255, is brought to 255.
_SOBEL_SCALE = 4.0


def apply_window(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    r"""Returns stored values as uint8: a window of them spans 0 to 255.

    .. math:: 255 (v - c + w/2) / w,

    rounded, halves up, and clipped, for a window of centre c and width w, as
    radiologists give it for CT (soft tissue: 40, 400 Hounsfield units).

    Args:
        values: Of any type and shape.
        window: `(centre, width)` in the unit of the values.

    Example:
        >>> apply_window(np.array([-500, -160, 40, 240, 3000]), (40, 400)).tolist()
        [0, 0, 128, 255, 255]
    """
    centre, width = window
    scaled = (np.asarray(values, np.float64) - (centre - width / 2)) * 255 / width
    # NaN has no place in a window: dark.
    scaled = np.nan_to_num(np.floor(scaled + 0.5), nan=0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def edge_strength(gray: np.ndarray) -> np.ndarray:
    r"""Returns how strong the edges of a gray image are, uint8 `[height, width]`.

    .. math:: \sqrt{g_x^2 + g_y^2} / 4,

    rounded and clipped at 255, of the Sobel filters `sobel_vertical` and
    `sobel_horizontal` of `jaxcnn.ops.FILTERS`, with the border replicated. A step from
    0 to 255 has strength 255.

    Args:
        gray: uint8 `[height, width]`.

    Example:
        >>> step = np.repeat(np.array([[0, 0, 0, 8, 8, 8]], np.uint8), 3, axis=0)
        >>> edge_strength(step)[1].tolist()
        [0, 0, 8, 8, 0, 0]
    """
    x = np.pad(gray.astype(np.float32), 1, mode="edge")
    # Each filter is a difference along one axis and [1 2 1] along the other.
    down = x[:-2] + 2 * x[1:-1] + x[2:]
    across = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    vertical, horizontal = down[:, :-2] - down[:, 2:], across[:-2] - across[2:]
    strength = np.sqrt(vertical**2 + horizontal**2) / _SOBEL_SCALE
    return np.minimum(np.floor(strength + 0.5), 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class FilePart:
    """What one file of an example gives.

    Attributes:
        mode: Pillow's `"L"` (gray), `"RGB"` or `"RGBA"`; or the number of channels of
            a `.npy` array.
        window: `(centre, width)` that brings values of more than eight bits to uint8;
            files of eight bits are left as they are.
    """

    mode: str = "RGB"
    window: tuple[float, float] | None = None

    @property
    def channels(self) -> int:
        """How many channels the file gives."""
        return int(self.mode) if self.mode.isdecimal() else len(self.mode)


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Makes pixels of the encoded files of an example.

    Attributes:
        parts: What every file gives; their channels are stacked in this order.
        edges: Whether a channel with the edges of the first file comes last.
    """

    parts: tuple[FilePart, ...] = (FilePart(),)
    edges: bool = False

    @property
    def channels(self) -> int:
        """The channels of what comes out."""
        return sum(part.channels for part in self.parts) + self.edges

    def __call__(
        self,
        data: bytes | Sequence[bytes],
        crop: Crop,
        rng: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, Placement, tuple[int, int]]:
        """Returns pixels, where they lie, and `(width, height)` of the whole image.

        Images are turned upright as their EXIF entry says. JPEGs are decoded at a half,
        a quarter or an eighth of their size where that is enough. Files of an example
        are cropped alike; one of other size than the first, but of its proportions, is
        brought to that size before.

        Args:
            data: The content of the file, or of the files.
            crop: What part of the image, and its size.
            rng: Where random numbers come from.

        Returns:
            uint8 `[height, width, channels]`, the placement, the whole image's size.

        Raises:
            ValueError: if a file has more than eight bits a channel and no window,
                other channels, or the proportions of stacked files differ.
            OSError: if one is damaged. Pillow raises other errors for some damages.
        """
        files = [data] if isinstance(data, bytes) else list(data)
        placement, whole, planes = None, (0, 0), []
        for number, (content, part) in enumerate(zip(files, self.parts, strict=True)):
            with _naming(number if len(files) > 1 else None):
                image = _Planes(content, part)
                if placement is None:
                    whole = image.size
                    placement = crop.place(*whole, rng)
                planes.append(image.cut(crop, placement, whole))
        pixels = planes[0] if len(planes) == 1 else np.concatenate(planes, -1)
        return self.with_edges(pixels), placement, whole

    def with_edges(self, pixels: np.ndarray) -> np.ndarray:
        """Returns stacked pixels with the channel of edges, if there is to be one."""
        if not self.edges:
            return pixels
        first = pixels[..., : self.parts[0].channels]
        edges = edge_strength(_gray(first))
        return np.concatenate([pixels, edges[..., None]], -1)


def decode_image(
    data: bytes, mode: str, crop: Crop, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Returns an encoded image as uint8 `[height, width, channels]`, cropped.

    Args:
        data: A file in a format that Pillow reads, or a `.npy` file.
        mode: See `FilePart`.
        crop: What part of it, and its size.
        rng: Where random numbers come from.

    Raises:
        ValueError: as `Decoder`.
        OSError: if it is damaged.
    """
    return Decoder((FilePart(mode),))(data, crop, rng)[0]


def upright(image: Any) -> Any:
    """Returns a Pillow image turned as its EXIF entry says."""
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


class _naming:
    """Says in an error which of an example's files it is about."""

    def __init__(self, number: int | None) -> None:
        self._number = number

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and self._number is not None:
            raise ValueError(f"file {self._number + 1} of it: {error}") from error


class _Planes:
    """An opened file as Pillow images of one size, whose channels are stacked."""

    def __init__(self, data: bytes, part: FilePart) -> None:
        self._mode = part.mode if not part.mode.isdecimal() else None
        if data.startswith(NPY_MAGIC):
            self._images = _from_array(data, part)
        else:
            self._mode = self._mode or MODES.get(part.channels)
            if self._mode is None:
                raise ValueError(
                    f"it is a picture, of 1, 3 or 4 channels, not {part.channels}"
                )
            self._images = [_opened(data, part.window)]
        self.size: tuple[int, int] = self._images[0].size

    def cut(
        self, crop: Crop, placement: Placement, whole: tuple[int, int]
    ) -> np.ndarray:
        """Returns the cropped pixels `[height, width, channels]`."""
        if self.size != whole:
            self._images = [_fitted(image, whole) for image in self._images]
        planes = []
        for image in self._images:
            found = crop.cut(image, placement)
            if self._mode is not None and found.mode != self._mode:
                found = found.convert(self._mode)
            pixels = np.asarray(found)
            planes.append(pixels[..., None] if pixels.ndim == 2 else pixels)
        return planes[0] if len(planes) == 1 else np.concatenate(planes, -1)


def _fitted(image: Any, whole: tuple[int, int]) -> Any:
    """Returns an image in the size of the first file."""
    ratio = (image.width * whole[1]) / (image.height * whole[0])
    if abs(ratio - 1) > _PROPORTIONS:
        raise ValueError(
            f"it is {image.width} x {image.height} pixels and the first file "
            f"{whole[0]} x {whole[1]}: files of an example need one proportion"
        )
    if image.mode in ("P", "PA", "1"):  # a palette cannot be interpolated
        image = image.convert("RGB")
    return image.resize(whole, _BILINEAR)


def _opened(data: bytes, window: tuple[float, float] | None) -> Any:
    """Returns an upright Pillow image of eight bits a channel."""
    from PIL import Image, UnidentifiedImageError

    # Pillow reads on demand, from this buffer, which lives as long as the image.
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError("cannot identify it as a picture") from None
    deep = image.mode.startswith(("I", "F"))
    if deep and window is None:
        raise ValueError(
            f"it has more than 8 bits a channel ({image.mode}): give "
            "window=(centre, width)"
        )
    if not deep and window is not None and _loses_bits(image):
        raise ValueError(
            "it has 16 bits in each of several channels, of which 8 would be lost "
            "before the window: store the channels in files of their own, or as .npy"
        )
    # A rotated one is decoded in full: its width is the box's height.
    image = upright(image)
    if deep:
        image = Image.fromarray(apply_window(np.asarray(image), window))
    return image


def _loses_bits(image: Any) -> bool:
    """Returns whether Pillow reads 16 bits of a channel as 8."""
    return any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _from_array(data: bytes, part: FilePart) -> list[Any]:
    """Returns the channels of a `.npy` file as Pillow images."""
    from PIL import Image

    # Pickled objects could run code.
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise ValueError(
            f"it has shape {list(values.shape)}, expected [height, width] or [height, "
            "width, channels]"
        )
    values = values[..., None] if values.ndim == 2 else values
    if values.dtype != np.uint8:
        if part.window is None or values.dtype.kind not in "biuf":
            raise ValueError(
                f"it holds {values.dtype}, expected uint8, or give window=(centre, "
                "width)"
            )
        values = apply_window(values, part.window)
    count = values.shape[-1]
    if not part.mode.isdecimal() and count in MODES:
        pixels = values[..., 0] if count == 1 else values
        return [Image.fromarray(np.ascontiguousarray(pixels))]
    if count != part.channels:
        raise ValueError(f"it has {count} channels, expected {part.channels}")
    return [Image.fromarray(np.ascontiguousarray(values[..., c])) for c in range(count)]


def _gray(pixels: np.ndarray) -> np.ndarray:
    """Returns one channel: the only one, the luma of RGB, or the mean of others."""
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    if pixels.shape[-1] in (3, 4):
        from PIL import Image

        rgb = np.ascontiguousarray(pixels[..., :3])
        return np.asarray(Image.fromarray(rgb).convert("L"))
    return np.floor(pixels.mean(-1) + 0.5).astype(np.uint8)


# Pillow's number, so that this module needs Pillow only when it decodes.
_BILINEAR = 2
