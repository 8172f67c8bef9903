"""What a unit can see of an image, and what it does see.

The theoretical receptive field holds all pixels on which a unit may depend; it follows
from the layers alone. The effective one says how much it depends on each: the gradient
of the unit by the image. It is smaller, and thins out towards its border.

References:
    Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep
    Convolutional Neural Networks", NIPS 2016, https://arxiv.org/abs/1701.04128.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike

from jaxcnn.arithmetic import Intervals
from jaxcnn.data.preprocess import to_float
from jaxcnn.interpret.compiling import compiled
from jaxcnn.interpret.targets import CENTRE, output_at, unit_position
from jaxcnn.layers.checks import check_number
from jaxcnn.models.calls import trace_calls
from jaxcnn.tree import nearest
from jaxcnn.typing import Array, PyTree

#: First and last pixel along an axis.
Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What the positions of a submodule's output can see of the image.

    Attributes:
        path: Path of the submodule.
        image_shape: `(height, width, channels)` of the image.
        output_shape: `(height, width, channels)` of the output.
        axes: What positions see along each axis of the image; None: all of it.
    """

    path: str
    image_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    axes: tuple[Intervals | None, ...]

    @property
    def size(self) -> tuple[int | None, ...]:
        """Pixels along each axis that one position can see; None: all of them."""
        return tuple(axis and axis.size for axis in self.axes)

    @property
    def stride(self) -> tuple[int | None, ...]:
        """Pixels between the fields of two neighbouring positions, along each axis."""
        return tuple(axis and axis.jump for axis in self.axes)

    def box(
        self, position: Sequence[int] | str = CENTRE, *, inside: bool = False
    ) -> tuple[Span, ...]:
        """Returns the first and last pixel, along each axis, that one position sees.

        Args:
            position: (row, column) in the output, or `"centre"`.
            inside: Whether to leave out what lies beyond the image, in its padding.

        Raises:
            ValueError: if the position lies outside of the output.
        """
        whole = [(0, size - 1) for size in self.image_shape[:-1]]
        if None in self.axes:
            return tuple(whole)
        places = unit_position((1, *self.output_shape), position)
        pairs = zip(self.axes, places, strict=True)
        # A position may see nothing at all where something was enlarged with zeros.
        spans = [axis.at(place) or (0, -1) for axis, place in pairs]
        if inside:
            spans = [
                (max(low, first), min(high, last))
                for (low, high), (first, last) in zip(spans, whole, strict=True)
            ]
        return tuple(spans)


def receptive_field(
    model: nn.Module, image_shape: Sequence[int], path: str
) -> ReceptiveField:
    """Returns what the positions of a submodule's output can see of the image.

    It is read off the traced computation, so branches, pooling and user-written layers
    count alike; no array is made. Norms count as one operation on each position.

    Args:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.
        path: Path of the submodule.

    Raises:
        ValueError: if there is no such submodule, or its output has no positions.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> field = receptive_field(create_model("lenet"), (28, 28, 1), "conv2")
        >>> field.size, field.stride, field.box((0, 0))
        ((14, 14), (2, 2), ((0, 13), (0, 13)))
    """
    calls, fields, _ = trace_calls(model, (1, *image_shape), jnp.float32, {})
    found = {"/".join(call.path): call for call in calls}
    if path not in found:
        raise ValueError(
            f"{type(model).__name__} calls no submodule {path!r}.{nearest(path, found)}"
        )
    call = found[path]
    if len(call.output_shape) != len(image_shape) + 1:
        raise ValueError(
            f"{path!r} gives shape {list(call.output_shape)}, which has no positions: "
            "take a submodule before the pooling."
        )
    view = fields.views[call.tag]
    axes: list[Intervals | None] = [None] * (len(image_shape) - 1)
    for axis, seen in view.items():
        if seen is not None:
            axes[axis - 1] = seen
    output = tuple(call.output_shape[1:])
    return ReceptiveField(path, tuple(image_shape), output, tuple(axes))


def effective_receptive_field(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    path: str,
    *,
    channel: int | None = None,
    position: Sequence[int] | str = CENTRE,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns how much one position of a submodule's output depends on each pixel.

    It is the size of the gradient, summed over the image's channels and averaged over
    the images. Weights may be trained or not; inputs may be images or noise.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables.
        images: `[batch, height, width, channels]`; ten or more give a smooth picture.
        path: Path of the submodule.
        channel: One channel of its output; by default the sum of all.
        position: (row, column) in the output, or `"centre"`.
        preprocess: From pixels to the model's input; the gradient is by the pixels.

    Returns:
        `[height, width]` float32, not negative.

    Raises:
        ValueError: if there is no such submodule, channel or position.
    """
    if not isinstance(position, str):
        position = tuple(position)
    settings = (model, path, channel, position, preprocess)
    return compiled(_influence, *settings)(variables, to_float(images))


def _influence(
    model: nn.Module,
    path: str,
    channel: int | None,
    position: tuple[int, ...] | str,
    preprocess: Callable[[Array], Array] | None,
    variables: PyTree,
    images: Array,
) -> Array:
    def unit(images: Array) -> Array:
        x = images if preprocess is None else preprocess(images)
        maps = output_at(model, variables, x, path).astype(jnp.float32)
        place = unit_position(maps.shape, position)
        values = maps[(slice(None), *place)]
        if channel is None:
            return values.sum()
        check_number("channel", channel, 0, values.shape[-1])
        return values[:, channel].sum()

    gradient = jax.grad(unit)(images.astype(jnp.float32))
    return jnp.abs(gradient).sum(axis=-1).mean(axis=0)


class FieldMeasure(NamedTuple):
    """How wide an effective receptive field is, in pixels.

    Attributes:
        size: Side of a square with as many pixels as it takes to hold the share of the
            whole influence, the strongest first.
        deviation: Standard deviation of the influence around its centre, the root of
            the mean over the axes: that of a Gaussian of its width.
    """

    size: float
    deviation: float


def measure_field(field: ArrayLike, *, share: float = 0.95) -> FieldMeasure:
    """Returns how wide an effective receptive field is.

    Args:
        field: `[height, width]`, from `effective_receptive_field`.
        share: Of the whole influence, between 0 and 1.

    Raises:
        ValueError: if the field is 0 everywhere, or the share out of range.

    Example:
        >>> field = np.zeros((9, 9))
        >>> field[2:5, 3:6] = 1
        >>> measure = measure_field(field, share=1)
        >>> measure.size, round(measure.deviation, 4)
        (3.0, 0.8165)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}.")
    values = np.asarray(field, np.float64)
    total = values.sum()
    if not total > 0:
        raise ValueError("The unit depends on no pixel: the field is 0 everywhere.")
    strongest = np.cumsum(np.sort(values, axis=None)[::-1]) / total
    # As many as reach the share; rounding may leave the last sum below 1.
    count = int(np.searchsorted(strongest, share * (1 - 1e-12))) + 1
    variances = []
    for axis, size in enumerate(values.shape):
        others = tuple(k for k in range(values.ndim) if k != axis)
        weights, places = values.sum(axis=others) / total, np.arange(size)
        mean = weights @ places
        variances.append(weights @ (places - mean) ** 2)
    side = count ** (1 / values.ndim)
    return FieldMeasure(float(side), float(np.sqrt(np.mean(variances))))
