"""Does the score follow the map? Deletion and insertion, beside a map of noise."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from jaxcnn.interpret.batches import copies_within, is_traced, map_points
from jaxcnn.interpret.integrated_gradients import baseline_like
from jaxcnn.interpret.scores import Target, call_options, logits_of, pick, prepare
from jaxcnn.layers.checks import check_number
from jaxcnn.train.forward import apply_model
from jaxcnn.typing import Array, PyTree

#: Deviation of the blur that insertion starts from, as a share of each side.
_BLUR = 0.1


class Curve(NamedTuple):
    """What `deletion_score` and `insertion_score` return.

    Attributes:
        area: Under the curve, `[batch]`, in the unit of the values.
        shares: Of the positions that are gone, or there, `[steps + 1]`.
        values: The probability of the target at each share, `[steps + 1, batch]`; of a
            target that is a function what it gives.
    """

    area: Array
    shares: Array
    values: Array


def deletion_score(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    maps: Array,
    target: Target = None,
    *,
    baseline: ArrayLike | str = 0.0,
    steps: int = 32,
    batch_size: int = 64,
    preprocess: Callable[[Array], Array] | None = None,
) -> Curve:
    """Returns how the probability falls as positions go, the map's highest first.

    The lower the area, the better the map. Compare it with that of `random_maps`: a
    model that is lost by any change of its image loses its class by those just as fast.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        maps: `[batch, ...]`, of the size that the model gets (what the attributions
            return). Equal values go in an arbitrary, fixed order.
        target: As for `input_gradient`; without one the class that the whole image is
            given.
        baseline: What takes the place of a position, as the model gets it: a number,
            an array that broadcasts to the images, `"blur"` (of a deviation of a tenth
            of each side) or `"mean"` (of each image and channel).
        steps: Equal shares of the positions that go one after the other.
        batch_size: Images that the model gets at a time.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: if the maps do not fit the images, the baseline is unknown, or as
            `input_gradient`.

    References:
        Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of
        Black-box Models", BMVC 2018, section 4.1, https://arxiv.org/abs/1806.07421.
    """
    options = {"steps": steps, "batch_size": batch_size, "preprocess": preprocess}
    return _curve(
        model, variables, images, maps, target, baseline, insert=False, **options
    )


def insertion_score(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    maps: Array,
    target: Target = None,
    *,
    baseline: ArrayLike | str = "blur",
    steps: int = 32,
    batch_size: int = 64,
    preprocess: Callable[[Array], Array] | None = None,
) -> Curve:
    """Returns how the probability rises as positions come, the map's highest first.

    It starts from the baseline, blurred as in the paper by default. The higher the
    area, the better the map.

    Args:
        model: As for `deletion_score`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        maps: `[batch, ...]`.
        target: What is explained.
        baseline: What the image starts from.
        steps: Equal shares of the positions that come one after the other.
        batch_size: Images that the model gets at a time.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: as `deletion_score`.

    References:
        Petsiuk, Das and Saenko, BMVC 2018, section 4.1,
        https://arxiv.org/abs/1806.07421.
    """
    options = {"steps": steps, "batch_size": batch_size, "preprocess": preprocess}
    return _curve(
        model, variables, images, maps, target, baseline, insert=True, **options
    )


def random_maps(key: Array, shape: tuple[int, ...], cells: int | None = None) -> Array:
    """Returns maps of noise, `[batch, ...]` in [0, 1], to compare others with.

    Args:
        key: Random key.
        shape: Of the maps, or that of images without their channels.
        cells: Values along each spatial axis, resized to the shape: as coarse as the
            map of a layer. None for one a position.

    Raises:
        ValueError: if `cells` is not a whole number of at least 1.
    """
    if cells is None:
        return jax.random.uniform(key, shape)
    check_number("cells", cells, 1)
    coarse = jax.random.uniform(key, (shape[0], *[cells] * (len(shape) - 1)))
    return jax.image.resize(coarse, shape, "linear", antialias=False)


def _curve(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    maps: Array,
    target: Target,
    baseline: ArrayLike | str,
    *,
    insert: bool,
    steps: int,
    batch_size: int,
    preprocess: Callable[[Array], Array] | None,
) -> Curve:
    check_number("steps", steps, 1)
    images = prepare(images, preprocess)
    if maps.shape != images.shape[:-1]:
        raise ValueError(
            f"maps must be {list(images.shape[:-1])} for images "
            f"{list(images.shape)}, got {list(maps.shape)}."
        )
    other = _baseline(images, baseline)
    probability = _probability(model, variables, target, images)
    places = _places(maps)[..., None]
    positions = maps[0].size

    def at(share: Array) -> Array:
        gone = places < jnp.round(share * positions)
        first, second = (images, other) if insert else (other, images)
        return probability(jnp.where(gone, first, second))

    shares = jnp.linspace(0, 1, steps + 1)
    traced = is_traced(variables, images, maps)
    copies = copies_within(batch_size, len(images))
    values = map_points(at, shares, copies, traced=traced)
    area = (values[1:] + values[:-1]).mean(axis=0) / 2
    return Curve(area, shares, values)


def _probability(
    model: nn.Module, variables: PyTree, target: Target, images: Array
) -> Callable[[Array], Array]:
    """Returns the function of images that a curve shows."""
    options = call_options(model)

    def outputs(images: Array) -> Array:
        return apply_model(model, variables, (images,), **options)

    if target is None:
        target = jnp.argmax(logits_of(outputs(images), model), axis=-1)
    if callable(target):
        return lambda images: pick(outputs(images), target, model)
    return lambda images: pick(
        jax.nn.softmax(logits_of(outputs(images), model)), target, model
    )


def _places(maps: Array) -> Array:
    """Returns where each position stands when they are sorted, the highest at 0."""
    flat = maps.reshape(len(maps), -1)
    # Row by row, equal values would uncover the image from its top.
    shuffled = jax.random.permutation(jax.random.key(0), flat.shape[1])
    order = shuffled[jnp.argsort(-flat[:, shuffled], axis=1, stable=True)]
    return jnp.argsort(order, axis=1).reshape(maps.shape)


def _baseline(images: Array, baseline: ArrayLike | str) -> Array:
    if not isinstance(baseline, str):
        return baseline_like(images, baseline)
    axes = tuple(range(1, images.ndim - 1))
    if baseline == "mean":
        mean = images.mean(axis=axes, keepdims=True)
        return jnp.broadcast_to(mean, images.shape)
    if baseline != "blur":
        raise ValueError(
            f"baseline={baseline!r} is unknown. Allowed: a number, an array, 'blur', "
            "'mean'."
        )
    for axis in axes:
        size = images.shape[axis]
        place = jnp.arange(size, dtype=images.dtype)
        apart = (place[:, None] - place[None, :]) / (_BLUR * size)
        # Normalised row by row: at the border the part inside counts alone.
        weights = jax.nn.softmax(-jnp.square(apart) / 2, axis=1)
        blurred = jnp.tensordot(weights, images, axes=(1, axis), precision="highest")
        images = jnp.moveaxis(blurred, 0, axis)
    return images
