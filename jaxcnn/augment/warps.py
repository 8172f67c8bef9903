"""Geometry as data: what moves an image, its boxes and its masks, resampled once.

An image that is rotated, then sheared, then magnified in three passes is blurred three
times. Here every operation is a matrix or a field of displacements; those that follow
each other are put together, and each pixel is looked up once in the original.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from jaxcnn.augment.batch import check_floats, check_images, example_keys
from jaxcnn.augment.matrices import inverse, moved, product
from jaxcnn.augment.resample import bilinear, nearest
from jaxcnn.typing import Array, Batch


@dataclasses.dataclass(frozen=True)
class Warp:
    """One drawn operation: a matrix an image, or a displacement a pixel.

    Attributes:
        matrices: Where points go, `[batch, 3, 3]`; see `jaxcnn.augment.matrices`.
        displacement: How far from itself each pixel is looked up, in pixels to the
            right and down, `[batch, height, width, 2]`; instead of matrices.
        window: Left, top, right and bottom of what is read, `[batch, 4]`, or None: the
            pixels on its edge stand for those beyond it.
    """

    matrices: Array | None = None
    displacement: Array | None = None
    window: Array | None = None


@dataclasses.dataclass(frozen=True)
class Geometric:
    """An augmentation that moves pixels, and fuses with its neighbours in `compose`.

    Attributes:
        draw: `draw(keys, height, width) -> Warp` with a key for every image.
        pixels: What to do with the images instead, where it stands alone, such as a
            flip without any resampling: `pixels(keys, images) -> images`.
    """

    draw: Callable[[Array, int, int], Warp]
    pixels: Callable[[Array, Array], Array] | None = None

    def __call__(self, key: Array, batch: Batch) -> dict[str, Any]:
        """Returns the batch with its images, boxes and masks moved."""
        height, width = check_images(batch["image"]).shape[1:3]
        keys = example_keys(key, batch)
        own = None if self.pixels is None else lambda x: self.pixels(keys, x)
        if own is not None and not {"boxes", "segmentation"} & set(batch):
            return _with_images(own, batch)
        return warped(batch, [self.draw(keys, height, width)], own)


def fused(
    operations: Sequence[Geometric], keys: Sequence[Array], batch: Batch
) -> dict[str, Any]:
    """Returns the batch after operations in order, each with its key, as one."""
    height, width = check_images(batch["image"]).shape[1:3]
    warps = [
        operation.draw(example_keys(key, batch), height, width)
        for operation, key in zip(operations, keys, strict=True)
    ]
    return warped(batch, warps) if warps else dict(batch)


def warped(
    batch: Batch,
    warps: Sequence[Warp],
    pixels: Callable[[Array], Array] | None = None,
) -> dict[str, Any]:
    """Returns the batch with what warps, in order, make of images, boxes and masks.

    - `"image"`, and a `"target"` of rank 4: floats, interpolated, zeros coming in.
    - `"segmentation"`, `[batch, height, width]` or `[batch, height, width, channels]`
      of any type: the nearest pixel, zeros coming in.
    - `"boxes"`, `[batch, N, 4]`, left, top, right and bottom in pixels, where pixel k
      reaches from k to k + 1: the smallest box around the moved corners, clipped to
      the image. `"boxes_valid"`, `[batch, N]`, says which have an area left (those
      that have none are zeros); what was false before stays false.

    Args:
        batch: The batch.
        warps: What is done, first things first.
        pixels: Gives the images, if not by resampling.

    Raises:
        ValueError: if images or masks are of another rank or size, or boxes not
            `[batch, N, 4]`.
    """
    size = check_images(batch["image"]).shape[1:3]
    points = None
    if pixels is None or "segmentation" in batch:
        points = _sources(warps, len(batch["image"]), *size)

    def sampled(images: Array) -> Array:
        found = bilinear(check_floats(images), *points)
        return found.reshape(images.shape).astype(images.dtype)

    result = _with_images(sampled if pixels is None else pixels, batch)
    if "segmentation" in batch:
        result["segmentation"] = _masks(batch["segmentation"], points, size)
    if "boxes" in batch:
        result |= _boxes(batch, warps, *size)
    return result


def _with_images(function: Callable[[Array], Array], batch: Batch) -> dict[str, Any]:
    changed = {"image": function(check_images(batch["image"]))}
    if "target" in batch and batch["target"].ndim == 4:
        changed["target"] = function(batch["target"])
    return {**batch, **changed}


def _sources(
    warps: Sequence[Warp], batch: int, height: int, width: int
) -> tuple[Array, Array]:
    """Returns row and column that every pixel comes from, `[batch, pixels]`."""
    down, right = jnp.indices((height, width), jnp.float32).reshape(2, 1, -1)
    y = jnp.broadcast_to(down - (height - 1) / 2, (batch, height * width))
    x = jnp.broadcast_to(right - (width - 1) / 2, (batch, height * width))
    on_grid = True
    for warp in reversed(_merged(warps)):
        if warp.displacement is not None:
            moves = warp.displacement.reshape(batch, -1, 2)
            if not on_grid:
                rows, columns = y + (height - 1) / 2, x + (width - 1) / 2
                moves = bilinear(warp.displacement, rows, columns)
            x, y = x + moves[..., 0], y + moves[..., 1]
        else:
            inside = (abs(x) <= width / 2) & (abs(y) <= height / 2)
            x, y = moved(inverse(warp.matrices), x, y)
            if warp.window is not None:
                x, y = _within(warp.window, inside, x, y, height, width)
        on_grid = False
    return y + (height - 1) / 2, x + (width - 1) / 2


def _within(
    window: Array, inside: Array, x: Array, y: Array, height: int, width: int
) -> tuple[Array, Array]:
    """Returns points kept on the pixels of a window; far away where not `inside`."""
    low_x, low_y, high_x, high_y = window.T[:, :, None].astype(jnp.float32)
    x = jnp.clip(x, low_x - (width - 1) / 2, high_x - 1 - (width - 1) / 2)
    y = jnp.clip(y, low_y - (height - 1) / 2, high_y - 1 - (height - 1) / 2)
    return jnp.where(inside, x, 2.0 * width), jnp.where(inside, y, 2.0 * height)


def _merged(warps: Sequence[Warp]) -> list[Warp]:
    """Returns the warps with matrices that follow each other multiplied."""
    merged: list[Warp] = []
    for warp in warps:
        plain = warp.matrices is not None and warp.window is None
        # Only the later of two may not have a window: it is in the frame between them.
        if plain and merged and merged[-1].matrices is not None:
            if merged[-1].window is None:
                merged[-1] = Warp(product(warp.matrices, merged[-1].matrices))
                continue
        merged.append(warp)
    return merged


def _masks(masks: Array, points: tuple[Array, Array], size: tuple[int, ...]) -> Array:
    if masks.ndim not in (3, 4) or masks.shape[1:3] != size:
        raise ValueError(
            f"segmentation {masks.shape} must be [batch, height, width] or [batch, "
            f"height, width, channels], as large as the images, {size[0]}x{size[1]}."
        )
    channels = masks if masks.ndim == 4 else masks[..., None]
    return nearest(channels, *points).reshape(masks.shape)


def _boxes(
    batch: Batch, warps: Sequence[Warp], height: int, width: int
) -> dict[str, Array]:
    boxes = batch["boxes"]
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise ValueError(
            f"boxes {boxes.shape} must be [batch, N, 4]: left, top, right, bottom."
        )
    corners = boxes.astype(jnp.float32)[:, :, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    flat = corners.reshape(len(boxes), -1, 2)
    x, y = flat[..., 0] - width / 2, flat[..., 1] - height / 2
    for warp in _merged(warps):
        if warp.displacement is None:
            x, y = moved(warp.matrices, x, y)
        else:
            # The inverse to first order: a point comes from where it would go.
            last = (height - 1) / 2, (width - 1) / 2
            rows = jnp.clip(y + last[0], 0, height - 1)
            columns = jnp.clip(x + last[1], 0, width - 1)
            moves = bilinear(warp.displacement, rows, columns)
            x, y = x - moves[..., 0], y - moves[..., 1]
    points = jnp.stack([x + width / 2, y + height / 2], -1).reshape(corners.shape)
    limit = jnp.array([width, height], jnp.float32)[None, None]
    low = jnp.clip(points.min(axis=2), 0, limit)
    high = jnp.clip(points.max(axis=2), 0, limit)
    valid = (high > low).all(axis=-1)
    if "boxes_valid" in batch:
        valid &= batch["boxes_valid"].astype(bool)
    found = jnp.concatenate([low, high], axis=-1)
    return {"boxes": jnp.where(valid[..., None], found, 0.0), "boxes_valid": valid}
