"""What lies between the latents of an autoencoder, and what comes back from them."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike

from jaxcnn.data.preprocess import to_float
from jaxcnn.interpret.compiling import compiled
from jaxcnn.interpret.projection import pca
from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.typing import Array, PyTree

#: How one comes from one latent to another.
PATHS = ("linear", "spherical")

Preprocess = Callable[[Array], Array]


def encode(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    *,
    preprocess: Preprocess | None = None,
) -> Array:
    """Returns the latents of images, `[batch, *latent_shape]`.

    Args:
        model: A module with methods `encode` and `decode`, such as the autoencoders.
        variables: Its variables.
        images: `[batch, height, width, channels]`, as `preprocess` takes them.
        preprocess: From pixels to the model's input; by default integers are divided by
            their type's maximum.

    Raises:
        ValueError: if the model has no such methods.
    """
    _check(model)
    return compiled(_encode, model, preprocess)(variables, images)


def decode(model: nn.Module, variables: PyTree, latents: ArrayLike) -> Array:
    """Returns the images of latents, `[batch, height, width, channels]`.

    Raises:
        ValueError: if the model has no methods `encode` and `decode`.
    """
    _check(model)
    return compiled(_decode, model)(variables, jnp.asarray(latents, jnp.float32))


class Reconstruction(NamedTuple):
    """What an autoencoder gives back.

    Attributes:
        inputs: What it got, preprocessed, `[batch, height, width, channels]`.
        images: What it gave back, of the same shape.
        errors: Mean square of their difference, `[batch]`.
    """

    inputs: Array
    images: Array
    errors: Array


def reconstruct(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    *,
    preprocess: Preprocess | None = None,
) -> Reconstruction:
    """Returns what an autoencoder gives back for images, and how far off it is.

    Args:
        model: As for `encode`, like all arguments.
        variables: Its variables.
        images: The images.
        preprocess: From pixels to the model's input.
    """
    _check(model)
    return compiled(_reconstruct, model, preprocess)(variables, images)


def interpolate(
    first: ArrayLike, second: ArrayLike, steps: int = 8, *, method: str = "linear"
) -> Array:
    """Returns what lies on the way from one array to another, both ends included.

    Args:
        first: `[batch, ...]`, such as latents; or images, to see what mixing pixels
            would give.
        second: Of the same shape.
        steps: How many on each way, the ends among them.
        method: `"linear"`: along a straight line. `"spherical"`: turning at a steady
            pace from one direction to the other, while the length changes steadily; for
            latents whose lengths are much alike, which a straight line would leave.

    Returns:
        `[batch, steps, ...]` float32.

    Raises:
        ValueError: if the shapes differ, or the method is unknown.

    Example:
        >>> first, second = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 2.0]])
        >>> interpolate(first, second, 3)[0].tolist()
        [[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
        >>> turned = interpolate(first, second, 3, method="spherical")[0, 1]
        >>> print(jnp.round(turned, 3))
        [1.414 1.414]

    References:
        Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985,
        https://doi.org/10.1145/325165.325242 (spherical).
    """
    check_choice("method", method, PATHS)
    check_number("steps", steps, 2)
    first, second = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(
            f"first {first.shape} and second {second.shape} must be of one shape, "
            "[batch, ...]."
        )
    a, b = (x.reshape(len(x), 1, -1) for x in (first, second))
    t = jnp.linspace(0, 1, steps).reshape(1, -1, 1)
    between = (1 - t) * a + t * b if method == "linear" else _turned(a, b, t)
    return between.reshape(len(first), steps, *first.shape[1:])


class LatentGrid(NamedTuple):
    """Images of a plane through the latents.

    Attributes:
        images: `[size, size, height, width, channels]`; the first row is the upper one,
            where the second coordinate is largest.
        latents: What they were made of, `[size, size, *latent_shape]`.
        across: First coordinate of the columns, `[size]`.
        down: Second coordinate of the rows, `[size]`, falling.
    """

    images: Array
    latents: Array
    across: np.ndarray
    down: np.ndarray


def latent_grid(
    model: nn.Module,
    variables: PyTree,
    latents: ArrayLike,
    *,
    size: int = 12,
    spread: float = 2.0,
) -> LatentGrid:
    """Returns the images on a plane through the latents of many examples.

    The plane is that of the two first principal components of the latents, or the
    latents themselves where there are two; the grid reaches `spread` standard
    deviations to both sides of their mean.

    Args:
        model: As for `encode`.
        variables: Its variables.
        latents: `[n, *latent_shape]` of many examples.
        size: Images along each side.
        spread: Standard deviations.

    Raises:
        ValueError: if there are too few latents, or the model has no `decode`.
    """
    _check(model)
    check_number("size", size, 2)
    latents = np.asarray(latents, np.float64)
    flat = latents.reshape(len(latents), -1)
    if flat.shape[1] == 2:
        deviations = flat.std(axis=0)
        centre, directions = flat.mean(axis=0), np.eye(2)
    else:
        found = pca(flat, 2)
        deviations = np.sqrt(found.variances)
        centre, directions = found.mean, found.components
    own = directions @ centre if flat.shape[1] == 2 else np.zeros(2)
    reach = np.linspace(-spread, spread, size)
    across, down = reach * deviations[0], -reach * deviations[1]
    points = np.stack(np.meshgrid(across, down), axis=-1)
    shape = (size, size, *latents.shape[1:])
    made = (points @ directions + centre).reshape(shape).astype(np.float32)
    images = decode(model, variables, made.reshape(-1, *latents.shape[1:]))
    images = images.reshape(size, size, *images.shape[1:])
    return LatentGrid(images, jnp.asarray(made), across + own[0], down + own[1])


def _turned(a: Array, b: Array, t: Array) -> Array:
    """Returns what lies on the arc between two directions, its length changing."""

    def length(x: Array) -> Array:
        return jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True))

    sizes = length(a), length(b)
    units = [x / jnp.where(n > 0, n, 1) for x, n in zip((a, b), sizes, strict=True)]
    # From both sums, exact for small angles too, where the arc cosine is not.
    angle = 2 * jnp.arctan2(length(units[0] - units[1]), length(units[0] + units[1]))
    turns = jnp.sin(angle)
    # Equal, opposite or without a direction: there is no one arc.
    near = (turns < 1e-6) | (sizes[0] == 0) | (sizes[1] == 0)
    safe = jnp.where(near, 1, turns)
    weights = jnp.sin((1 - t) * angle) / safe, jnp.sin(t * angle) / safe
    arc = weights[0] * units[0] + weights[1] * units[1]
    arc = arc * ((1 - t) * sizes[0] + t * sizes[1])
    return jnp.where(near, (1 - t) * a + t * b, arc)


def _encode(
    model: nn.Module, preprocess: Preprocess | None, variables: PyTree, images: Array
) -> Array:
    return model.apply(variables, (preprocess or to_float)(images), method="encode")


def _decode(model: nn.Module, variables: PyTree, latents: Array) -> Array:
    return model.apply(variables, latents, method="decode")


def _reconstruct(
    model: nn.Module, preprocess: Preprocess | None, variables: PyTree, images: Array
) -> Reconstruction:
    inputs = (preprocess or to_float)(images)
    outputs = model.apply(variables, inputs)
    errors = jnp.square(outputs - inputs).mean(axis=tuple(range(1, inputs.ndim)))
    return Reconstruction(inputs, outputs, errors)


def _check(model: nn.Module) -> None:
    if not (hasattr(model, "encode") and hasattr(model, "decode")):
        raise ValueError(
            f"{type(model).__name__} has no methods encode and decode: it is no "
            "autoencoder."
        )
