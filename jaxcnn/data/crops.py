"""What part of an image is seen, in evaluation and in training, by Pillow."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxcnn.data.resample import centre_crop_start, resized_shape
from jaxcnn.data.resize import check_image_size

#: Boxes that a random crop tries before it takes the centre, as torchvision does.
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the pixels that come out of a crop lie in the image.

    Attributes:
        box: `(left, top, right, bottom)` in pixels of the upright image.
        mirrored: Whether left and right are exchanged.
    """

    box: tuple[float, float, float, float]
    mirrored: bool = False


@dataclasses.dataclass(frozen=True)
class ResizeCrop:
    """How images are looked at in evaluation: the shorter side, then the centre.

    Attributes:
        size: `(height, width)` of the centre that is kept.
        resize: Pixels that the shorter side is brought to first; by default the larger
            of `size` over 0.875, so 256 for 224 (Krizhevsky et al. 2012, section 4.1).
    """

    size: tuple[int, int]
    resize: int | None = None

    def __post_init__(self) -> None:
        check_image_size(self.size)
        if self.resize is None:
            object.__setattr__(self, "resize", round(max(self.size) / 0.875))
        if not isinstance(self.resize, int) or self.resize < max(self.size):
            raise ValueError(
                f"resize is {self.resize!r}, expected a whole number of at least "
                f"{max(self.size)} pixels, the size {self.size} of the crop"
            )

    def place(
        self, width: int, height: int, rng: np.random.Generator | None
    ) -> Placement:
        """Returns where the centre lies in an image; `rng` is not used."""
        new_height, new_width = resized_shape(height, width, self.resize)
        top = centre_crop_start(new_height, self.size[0])
        left = centre_crop_start(new_width, self.size[1])
        x, y = width / new_width, height / new_height
        right, bottom = left + self.size[1], top + self.size[0]
        return Placement((left * x, top * y, right * x, bottom * y))

    def cut(self, image: Any, placement: Placement) -> Any:
        """Returns the centre of a Pillow image."""
        height, width = resized_shape(image.height, image.width, self.resize)
        image = _drafted(image, (width, height))
        image = image.resize((width, height), _BILINEAR)
        top = centre_crop_start(height, self.size[0])
        left = centre_crop_start(width, self.size[1])
        return image.crop((left, top, left + self.size[1], top + self.size[0]))


@dataclasses.dataclass(frozen=True)
class Stretch:
    """The whole image brought to a size, whatever its proportions were.

    Nothing is cut off, as object detection wants it.

    Attributes:
        size: `(height, width)` of what comes out.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        check_image_size(self.size)

    def place(
        self, width: int, height: int, rng: np.random.Generator | None
    ) -> Placement:
        """Returns the box of the whole image; `rng` is not used."""
        return Placement((0.0, 0.0, float(width), float(height)))

    def cut(self, image: Any, placement: Placement) -> Any:
        """Returns the whole Pillow image in the new size."""
        size = (self.size[1], self.size[0])
        return _drafted(image, size).resize(size, _BILINEAR)


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    r"""How images are looked at in training: a part of any scale and aspect, mirrored.

    The part has a share of the area drawn uniformly from `area` and a width over height
    drawn log-uniformly from `aspect`; where ten such boxes do not fit, it is the
    largest centred one of an allowed aspect. It is resized to `size`.

    Attributes:
        size: `(height, width)` of what comes out.
        area: Smallest and largest share of the image's area.
        aspect: Smallest and largest width over height.
        flip: Share of the images that are mirrored left to right.

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6,
        https://arxiv.org/abs/1409.4842.
    """

    size: tuple[int, int]
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __post_init__(self) -> None:
        check_image_size(self.size)
        low, high = _pair("area", self.area)
        if not 0 < low <= high <= 1:
            raise ValueError(f"area is {self.area}, expected 0 < smallest <= largest")
        low, high = _pair("aspect", self.aspect)
        if not 0 < low <= high < math.inf:
            raise ValueError(f"aspect is {self.aspect}, expected 0 < smallest, largest")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is {self.flip}, expected a share from 0 to 1")

    def place(
        self, width: int, height: int, rng: np.random.Generator | None
    ) -> Placement:
        """Returns a part of an image at random, the whole image without `rng`."""
        if rng is None:
            return Placement((0.0, 0.0, float(width), float(height)))
        box = self.box(width, height, rng)
        return Placement(box, bool(rng.random() < self.flip))

    def cut(self, image: Any, placement: Placement) -> Any:
        """Returns that part of a Pillow image, in the new size."""
        height, width = self.size
        left, top, right, bottom = placement.box
        full_width, full_height = image.size
        # The whole image is decoded no larger than this part of it needs.
        wanted = (
            math.ceil(full_width * width / (right - left)),
            math.ceil(full_height * height / (bottom - top)),
        )
        image = _drafted(image, wanted)
        x, y = image.width / full_width, image.height / full_height
        box = (left * x, top * y, right * x, bottom * y)
        image = image.resize((width, height), _BILINEAR, box=box)
        return image.transpose(_MIRRORED) if placement.mirrored else image

    def box(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[int, int, int, int]:
        """Returns `(left, top, right, bottom)` of a part, in pixels."""
        shares = rng.uniform(*self.area, _TRIES) * (width * height)
        aspects = np.exp(rng.uniform(*np.log(self.aspect), _TRIES))
        widths = np.rint(np.sqrt(shares * aspects)).astype(int)
        heights = np.rint(np.sqrt(shares / aspects)).astype(int)
        places = rng.random(2)
        fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
        if not fits.any():
            return self._centre(width, height)
        first = int(fits.argmax())
        w, h = int(widths[first]), int(heights[first])
        left = int(places[0] * (width - w + 1))
        top = int(places[1] * (height - h + 1))
        return left, top, left + w, top + h

    def _centre(self, width: int, height: int) -> tuple[int, int, int, int]:
        low, high = self.aspect
        w = min(width, max(round(height * high), 1))
        h = min(height, max(round(width / low), 1))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


# Pillow's numbers, so that this module needs Pillow only when it decodes.
_BILINEAR = 2
_MIRRORED = 0

#: What part of an image is seen: `place` says which, `cut` gives it.
Crop = ResizeCrop | RandomResizedCrop | Stretch


def make_crops(
    size: tuple[int, int],
    *,
    resize: int | None = None,
    random: bool = True,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    stretch: bool = False,
) -> dict[str, Crop]:
    """Returns `train_crop` and `eval_crop` of a source.

    Args:
        size: `(height, width)` of the decoded images.
        resize: Pixels of the shorter side before the centre is cut out.
        random: Whether training sees random parts; else what evaluation sees.
        area: See `RandomResizedCrop`.
        aspect: The same.
        flip: The same.
        stretch: Whether evaluation sees the whole image, its proportions changed, in
            place of the centre; then `resize` is not used.
    """
    if stretch and resize is not None:
        raise ValueError(
            f"resize is {resize}: it is for a centre, not for stretch=True"
        )
    evaluated = Stretch(tuple(size)) if stretch else ResizeCrop(tuple(size), resize)
    trained = RandomResizedCrop(tuple(size), tuple(area), tuple(aspect), flip)
    return {"train_crop": trained if random else evaluated, "eval_crop": evaluated}


def _drafted(image: Any, size: tuple[int, int]) -> Any:
    """Returns the image; a JPEG not yet decoded will be, at `(width, height)` or more.

    A palette cannot be interpolated, so such an image becomes RGB first.
    """
    if hasattr(image, "draft") and image.width >= 2 * size[0]:
        image.draft(None, size)
    if image.mode in ("P", "PA", "1"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def _pair(name: str, values: Any) -> tuple[float, float]:
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise ValueError(f"{name} is {values!r}, expected (smallest, largest)")
    return values[0], values[1]
