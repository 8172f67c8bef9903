"""Boxes and masks of images, moved along with the crop that the image gets."""

import io
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jaxcnn.data.crops import Placement
from jaxcnn.data.decoding import NPY_MAGIC, upright

Arrays = dict[str, np.ndarray]
#: The class of rows that hold no box.
NO_BOX = -1


class Targets(Protocol):
    """What an example has beside its image. Pickled into worker processes."""

    def empty(self, count: int, size: tuple[int, int]) -> Arrays:
        """Returns the arrays of so many examples with nothing in them."""

    def read(self, index: int) -> Any:
        """Returns what is stored for an example."""

    def place(
        self, stored: Any, placement: Placement, whole: tuple[int, int], size: Any
    ) -> Arrays:
        """Returns one row of every array."""

    def state(self) -> list[Any]:
        """Returns what changes when the targets do."""


class Boxes:
    """The boxes of every example, padded to the most that one of them has.

    Batches carry, for M boxes:

    - `boxes`: float32 `[B, M, 4]`, left, top, right, bottom in pixels of the image that
      comes out; zeros where there is no box.
    - `box_labels`: int32 `[B, M]`, the classes; -1 where there is no box.
    - `boxes_valid`: booleans `[B, M]`, false on padding; augmentation clears it for
      boxes that leave the image.
    - `box_ignore`: float32 `[B, M]`, 1 on boxes marked as difficult (VOC) or as a crowd
      (COCO), which by custom neither training nor a score counts.

    A box stays if its centre lies in the crop, and is clipped to it (Liu et al., "SSD:
    Single Shot MultiBox Detector", ECCV 2016, section 2.2,
    https://arxiv.org/abs/1512.02325).

    Args:
        boxes: Of every example, float `[n, 4]` in pixels of the upright image.
        labels: Of every example, the classes `[n]`.
        ignore: Of every example, `[n]`; none if None.
    """

    def __init__(
        self,
        boxes: Sequence[Any],
        labels: Sequence[Any],
        ignore: Sequence[Any] | None = None,
    ) -> None:
        counts = [len(found) for found in labels]
        ignore = [np.zeros(n) for n in counts] if ignore is None else ignore
        self._ends = np.cumsum([0, *counts])
        flat = [np.reshape(np.asarray(found, np.float32), (-1, 4)) for found in boxes]
        self._boxes = np.concatenate([np.zeros((0, 4), np.float32), *flat])
        self._labels = np.concatenate([np.zeros(0), *labels]).astype(np.int32)
        self._ignore = np.concatenate([np.zeros(0), *ignore]).astype(np.float32)
        self.most = max([1, *counts])

    def empty(self, count: int, size: tuple[int, int]) -> Arrays:
        """Returns arrays of padding."""
        shape = (count, self.most)
        return {
            "boxes": np.zeros((*shape, 4), np.float32),
            "box_labels": np.full(shape, NO_BOX, np.int32),
            "boxes_valid": np.zeros(shape, bool),
            "box_ignore": np.zeros(shape, np.float32),
        }

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the boxes of an example as stored, their classes, and `ignore`."""
        rows = slice(self._ends[index], self._ends[index + 1])
        return self._boxes[rows], self._labels[rows], self._ignore[rows]

    def place(
        self,
        stored: tuple[np.ndarray, np.ndarray, np.ndarray],
        placement: Placement,
        whole: tuple[int, int],
        size: tuple[int, int],
    ) -> Arrays:
        """Returns the boxes in an image that was cropped to `size` (height, width)."""
        boxes, labels, ignore = stored
        boxes, kept = crop_boxes(boxes, placement, size)
        row = {name: array[0] for name, array in self.empty(1, size).items()}
        count = len(boxes)
        row["boxes"][:count], row["boxes_valid"][:count] = boxes, True
        row["box_labels"][:count] = labels[kept]
        row["box_ignore"][:count] = ignore[kept]
        return row

    def state(self) -> list[Any]:
        """Returns all boxes as bytes."""
        parts = (self._ends, self._boxes, self._labels, self._ignore)
        return [part.tobytes() for part in parts]


def crop_boxes(
    boxes: np.ndarray, placement: Placement, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the boxes whose centre a crop holds, in its pixels, and which they are.

    Args:
        boxes: float `[n, 4]`: left, top, right, bottom in the whole image.
        placement: Where the crop lies.
        size: `(height, width)` of what comes out.

    Returns:
        float32 `[m, 4]`, clipped to the crop, and booleans `[n]`.

    Example:
        >>> boxes = np.array([[10, 10, 30, 20], [0, 0, 12, 12]])
        >>> crop_boxes(boxes, Placement((10, 10, 50, 30), mirrored=True), (10, 20))
        (array([[10.,  0., 20.,  5.]], dtype=float32), array([ True, False]))
    """
    left, top, right, bottom = placement.box
    centre_x, centre_y = boxes[:, [0, 2]].mean(1), boxes[:, [1, 3]].mean(1)
    kept = (centre_x >= left) & (centre_x < right)
    kept &= (centre_y >= top) & (centre_y < bottom)
    height, width = size
    scale = np.array([width / (right - left), height / (bottom - top)] * 2)
    moved = (boxes[kept] - np.array([left, top] * 2)) * scale
    moved = np.clip(moved, 0, [width, height] * 2)
    if placement.mirrored:
        moved[:, [0, 2]] = width - moved[:, [2, 0]]
    return moved.astype(np.float32), kept


class Masks:
    """A file for every example that says of each pixel what it is.

    Batches carry `segmentation` `[B, height, width]`: the index of a class for every
    pixel, uint8, or int32 where files have 16 bits. No class is interpolated: pixels of
    the crop take the nearest one.

    Args:
        records: The encoded masks, by the numbers of the images.
        values: Which value of a file is class 0, 1, ...; by default values are indices.
    """

    def __init__(self, records: Any, values: tuple[int, ...] = ()) -> None:
        self._records, self._values = records, tuple(values)
        self._dtype = np.dtype(np.uint8)
        if not self._values:
            deep = _opened_mask(records.read(0)[0]).dtype.itemsize > 1
            self._dtype = np.dtype(np.int32 if deep else np.uint8)

    def empty(self, count: int, size: tuple[int, int]) -> Arrays:
        """Returns masks of class 0."""
        return {"segmentation": np.zeros((count, *size), self._dtype)}

    def read(self, index: int) -> tuple[int, bytes]:
        """Returns the number of an example and its encoded mask."""
        return index, self._records.read(index)[0]

    def place(
        self,
        stored: tuple[int, bytes],
        placement: Placement,
        whole: tuple[int, int],
        size: tuple[int, int],
    ) -> Arrays:
        """Returns the mask of an image that was cropped to `size` (height, width).

        Raises:
            ValueError: if the mask is not one of the image, or holds another value.
        """
        index, data = stored
        try:
            mask = self._classes(_opened_mask(data), whole)
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
        except Exception as error:
            name = self._records.name(index)
            raise ValueError(f"its mask {name}: {error}") from error
        return {"segmentation": crop_mask(mask, placement, size).astype(self._dtype)}

    def _classes(self, mask: np.ndarray, whole: tuple[int, int]) -> np.ndarray:
        if mask.shape[::-1] != tuple(whole):
            raise ValueError(
                f"it is {mask.shape[1]} x {mask.shape[0]} pixels, the image "
                f"{whole[0]} x {whole[1]}"
            )
        if not self._values:
            if mask.max() > np.iinfo(self._dtype).max:
                raise ValueError(
                    f"it holds {mask.max()}, and the first mask has 8 bits a pixel"
                )
            return mask.astype(self._dtype)
        classes = np.full(mask.shape, len(self._values), np.uint16)
        for index, value in enumerate(self._values):
            classes[mask == value] = index
        unknown = classes == len(self._values)
        if unknown.any():
            raise ValueError(
                f"it holds the value {mask[unknown][0]}, which is not in mask_values "
                f"{self._values}"
            )
        return classes.astype(self._dtype)

    def state(self) -> list[Any]:
        """Returns names and sizes of the files, and the values."""
        return [self._values, *self._records.state()]


def crop_mask(
    mask: np.ndarray, placement: Placement, size: tuple[int, int]
) -> np.ndarray:
    """Returns a part of a mask in another size, every pixel the nearest one.

    Args:
        mask: Integers `[height, width]`.
        placement: Where the part lies.
        size: `(height, width)` of what comes out.

    Example:
        >>> mask = np.array([[1, 2, 3, 4]] * 2)
        >>> crop_mask(mask, Placement((2, 0, 4, 2)), (1, 4)).tolist()
        [[3, 3, 4, 4]]
    """
    left, top, right, bottom = placement.box
    height, width = size
    # The pixel under the centre of each pixel that comes out.
    columns = left + (np.arange(width) + 0.5) * ((right - left) / width)
    rows = top + (np.arange(height) + 0.5) * ((bottom - top) / height)
    columns = np.clip(columns.astype(int), 0, mask.shape[1] - 1)
    rows = np.clip(rows.astype(int), 0, mask.shape[0] - 1)
    columns = columns[::-1] if placement.mirrored else columns
    return mask[np.ix_(rows, columns)]


def _opened_mask(data: bytes) -> np.ndarray:
    """Returns a mask as whole numbers `[height, width]`, upright."""
    from PIL import Image

    if data.startswith(NPY_MAGIC):
        mask = np.load(io.BytesIO(data), allow_pickle=False)
    else:
        with Image.open(io.BytesIO(data)) as image:
            mask = np.asarray(upright(image))
    if mask.ndim != 2 or mask.dtype.kind not in "biu":
        raise ValueError(
            f"it is {mask.dtype}{list(mask.shape)}, expected one whole number a pixel, "
            "[height, width]"
        )
    return mask.astype(np.uint8) if mask.dtype == bool else mask
