"""Views of an image for test-time augmentation: what predictions are averaged over.

A view is a pure function of the images, `[batch, height, width, channels]`;
`make_views` and the factories return several, which give images of one size.
"""

import itertools
import numbers
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp

from jaxcnn.augment.batch import check_images
from jaxcnn.augment.spec import parse_spec
from jaxcnn.named import call_named
from jaxcnn.typing import Array

View = Callable[[Array], Array]


def flip() -> tuple[View, ...]:
    """Returns two views: the image as it is, and mirrored left to right."""
    return (_as_it_is, lambda images: check_images(images)[:, :, ::-1])


def shifts(pixels: int = 1) -> tuple[View, ...]:
    """Returns five views: the image as it is, and moved to its four corners.

    These are the centre and the corner crops of the image padded with zeros, of the
    image's own size.

    Args:
        pixels: How far it moves, up or down and left or right.

    Raises:
        ValueError: if `pixels` is not a whole number from 1.
    """
    _check_pixels("pixels", pixels)
    moves = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))

    def shifted(down: int, right: int) -> View:
        def view(images: Array) -> Array:
            height, width = check_images(images).shape[1:3]
            frame = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
            framed = jnp.pad(images, frame)
            top, left = pixels * (1 - down), pixels * (1 - right)
            return framed[:, top : top + height, left : left + width]

        return view

    return tuple(shifted(*move) for move in moves)


def five_crops(size: int | tuple[int, int]) -> tuple[View, ...]:
    """Returns five views: the crops at the centre and in the four corners.

    The model has to take images of the crop's size.

    Args:
        size: Of the crops in pixels, one number or (height, width).

    Raises:
        ValueError: if a size is not a whole number from 1; when called, if the images
            are smaller.

    References:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks", NeurIPS 2012, section 4.1 (with the mirror images: `ten_crops`),
        https://papers.nips.cc/paper/4824.
    """
    height, width = size if isinstance(size, tuple | list) else (size, size)
    _check_pixels("size", height)
    _check_pixels("size", width)

    def cropped(place: Callable[[int, int], tuple[int, int]]) -> View:
        def view(images: Array) -> Array:
            whole = check_images(images).shape[1:3]
            down, right = whole[0] - height, whole[1] - width
            if down < 0 or right < 0:
                raise ValueError(
                    f"crops of {height}x{width} do not fit into images of "
                    f"{whole[0]}x{whole[1]}."
                )
            top, left = place(down, right)
            return images[:, top : top + height, left : left + width]

        return view

    return (
        cropped(lambda down, right: (down // 2, right // 2)),
        cropped(lambda down, right: (0, 0)),
        cropped(lambda down, right: (0, right)),
        cropped(lambda down, right: (down, 0)),
        cropped(lambda down, right: (down, right)),
    )


def ten_crops(size: int | tuple[int, int]) -> tuple[View, ...]:
    """Returns ten views: `five_crops`, and their mirror images.

    Args:
        size: Of the crops in pixels, one number or (height, width).

    Raises:
        ValueError: as `five_crops` does.
    """
    return _each_of_each(five_crops(size), flip())


_VIEWS = MappingProxyType(
    {"five_crops": five_crops, "flip": flip, "shifts": shifts, "ten_crops": ten_crops}
)


def make_views(specs: str | View | Sequence[str | View]) -> tuple[View, ...]:
    """Returns the views that a config names; several names give all combinations.

    Args:
        specs: Names as `list_views` gives them, with arguments if any: `"flip"`,
            `"shifts(pixels=2)"`; or views, functions of the images, which stand for
            themselves.

    Raises:
        ValueError: if there is none, a spec cannot be read, names stand beside
            functions, or a name, argument or value is wrong.

    Example:
        >>> len(make_views(["flip", "shifts(pixels=2)"]))
        10
    """
    specs = [specs] if isinstance(specs, str) or callable(specs) else list(specs)
    if not specs:
        raise ValueError("views must be one or more, such as 'flip'.")
    if all(callable(spec) for spec in specs):
        return tuple(specs)
    if any(callable(spec) for spec in specs):
        raise ValueError("views are either names or functions, not both.")
    views: tuple[View, ...] = (_as_it_is,)
    for spec in specs:
        views = _each_of_each(views, _named(spec))
    return views


def list_views() -> list[str]:
    """Returns the names that `make_views` knows."""
    return sorted(_VIEWS)


def _as_it_is(images: Array) -> Array:
    return images


def _each_of_each(first: Sequence[View], second: Sequence[View]) -> tuple[View, ...]:
    """Returns every view of the second kind of every view of the first."""

    def both(one: View, two: View) -> View:
        return lambda images: two(one(images))

    return tuple(both(one, two) for one, two in itertools.product(first, second))


def _named(spec: str) -> tuple[View, ...]:
    name, options = parse_spec("view", spec, "'flip' or 'shifts(pixels=2)'")
    return call_named("view", _VIEWS, name, **options)


def _check_pixels(argument: str, value: Any) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{argument}={value!r} must be a whole number of pixels >= 1.")
