"""Occlusion: how the score falls where a window of the image is covered."""

import itertools
import operator
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import ArrayLike

from jaxcnn.interpret.batches import copies_within, is_traced, map_points
from jaxcnn.interpret.integrated_gradients import baseline_like
from jaxcnn.interpret.scores import Target, make_score, prepare
from jaxcnn.layers.checks import check_numbers
from jaxcnn.typing import Array, PyTree


def occlusion(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: ArrayLike = 0.0,
    batch_size: int = 64,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns by how much the score falls where the image is covered, signed.

    A window moves over the image by the stride; the last one along each axis may
    reach beyond the border. A position gets the mean over the windows that cover it,
    and is positive where the image supports the target.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`; without one the class that the whole image is
            given.
        window: Its size along every spatial axis, or one number for all; by default an
            eighth of each, at least 1.
        stride: How far it moves, likewise; by default half the window. At most the
            window, so that every position is covered.
        baseline: What covers it, as the model gets it: a number, or an array that
            broadcasts to the images.
        batch_size: Images that the model gets at a time.
        preprocess: As for `input_gradient`.

    Returns:
        `[batch, ...]`, one number a position for all its channels.

    Raises:
        ValueError: if the window is larger than the image or the stride than the
            window, the baseline does not fit, or as `input_gradient`.

    References:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
        2014, section 4.2, https://arxiv.org/abs/1311.2901.
    """
    images = prepare(images, preprocess)
    sizes = images.shape[1:-1]
    usual = tuple(max(1, size // 8) for size in sizes)
    windows = _each("window", window, usual, sizes, "the image")
    usual = tuple(max(1, size // 2) for size in windows)
    strides = _each("stride", stride, usual, windows, "the window")
    cover = baseline_like(images, baseline)
    score = make_score(model, variables, target, images)
    whole = score(images)
    starts = _starts(sizes, windows, strides)
    size = jnp.asarray(windows)

    def inside(start: Array) -> Array:
        """Returns which positions a window covers, of the image's rank."""
        covered = jnp.ones((1,) * images.ndim, bool)
        for axis, length in enumerate(sizes):
            shape = [1] * images.ndim
            shape[axis + 1] = length
            place = jnp.arange(length).reshape(shape)
            covered = covered & (place >= start[axis])
            covered = covered & (place < start[axis] + size[axis])
        return covered

    def fall(start: Array) -> Array:
        return whole - score(jnp.where(inside(start), cover, images))

    copies = copies_within(batch_size, len(images))
    traced = is_traced(variables, images)
    falls = map_points(fall, starts, copies, traced=traced)  # [windows, batch]

    def add(totals: tuple[Array, Array], chosen: tuple[Array, Array]) -> tuple:
        start, fall = chosen
        covered = inside(start)[..., 0].astype(images.dtype)
        values = covered * fall.reshape(-1, *[1] * len(sizes))
        return (totals[0] + values, totals[1] + covered), None

    zeros = jnp.zeros(images.shape[:-1], images.dtype)
    (total, times), _ = lax.scan(add, (zeros, zeros[:1]), (starts, falls))
    return total / times  # every position lies in a window


def _starts(
    sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> Array:
    """Returns where the windows begin, `[windows, axes]`: the last reach the border."""
    along = [
        range(0, strides[k] * -(-(size - windows[k]) // strides[k]) + 1, strides[k])
        for k, size in enumerate(sizes)
    ]
    return jnp.asarray(np.array(list(itertools.product(*along)), np.int32))


def _each(
    name: str,
    value: int | Sequence[int] | None,
    usual: tuple[int, ...],
    most: Sequence[int],
    of: str,
) -> tuple[int, ...]:
    """Returns one number an axis, each at most that of `most`."""
    if value is None:
        return usual
    values = value if isinstance(value, Sequence) else (value,) * len(most)
    check_numbers(name, values, 1)
    fits = len(values) == len(most) and all(map(operator.le, values, most))
    if not fits:
        raise ValueError(
            f"{name} must be one number or {len(most)}, at most those of {of}, "
            f"{tuple(most)}, got {value!r}."
        )
    return tuple(values)
