"""Attribution by gradients at the image: saliency, gradient x input, SmoothGrad."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.interpret.batches import copies_within, is_traced, sum_points
from jaxcnn.interpret.scores import Score, Target, make_score, prepare
from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.typing import Array, PyTree

#: How the channels of an attribution become one number a position.
REDUCTIONS = {
    "max": lambda values: jnp.abs(values).max(axis=-1),
    "sum": lambda values: values.sum(axis=-1),
    "mean": lambda values: jnp.abs(values).mean(axis=-1),
}


def pixel_map(attributions: Array, channels: str = "max") -> Array:
    """Returns one number a position of `[batch, ..., channels]` attributions.

    Args:
        attributions: As the functions of this module return them.
        channels: `"max"` of the absolute values, as in Simonyan et al. 2014, section
            3.1; `"sum"`, signed, which keeps completeness; `"mean"` of the absolute
            values.

    Raises:
        ValueError: if `channels` is none of these.

    Example:
        >>> pixel_map(jnp.array([[[[1.0, -3.0]]]])).tolist()
        [[[3.0]]]
    """
    check_choice("channels", channels, REDUCTIONS)
    return REDUCTIONS[channels](attributions)


def input_gradient(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns the gradient of the target by the images as the model gets them.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`, of any number of spatial axes.
        target: A class for all, `[batch]` classes, a function of what the model returns
            that gives `[batch]` numbers, or None for the class each image is given.
        preprocess: Applied first, such as `make_preprocess(config)`; without one,
            integers are divided by their type's maximum.

    Returns:
        `[batch, ..., channels]`.

    Raises:
        ValueError: if the target is no class, or the model returns no logits and the
            target is no function.
    """
    images = prepare(images, preprocess)
    return gradient(make_score(model, variables, target, images), images)


def saliency(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns the absolute gradient of the target by the images.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: as `input_gradient`.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> images = jnp.ones((2, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> pixel_map(saliency(model, variables, images, target=3)).shape
        (2, 28, 28)

    References:
        Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR
        workshop 2014, section 3, https://arxiv.org/abs/1312.6034.
    """
    return jnp.abs(
        input_gradient(model, variables, images, target, preprocess=preprocess)
    )


def gradient_times_input(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns the gradient times the image that the model gets, signed.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: as `input_gradient`.

    References:
        Shrikumar et al., "Not Just a Black Box", 2016, section 2,
        https://arxiv.org/abs/1605.01713.
    """
    images = prepare(images, preprocess)
    return images * input_gradient(model, variables, images, target)


def smooth_grad(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    key: Array,
    target: Target = None,
    *,
    samples: int = 50,
    noise: float = 0.15,
    square: bool = False,
    batch_size: int = 64,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns the mean gradient over noisy copies of each image, signed.

    The same key gives the same noise, whatever the batch size. The target is that of
    the image without noise.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        key: Random key of the noise.
        target: As for `input_gradient`.
        samples: Noisy copies of each image.
        noise: Standard deviation of the noise, as a share of the image's range
            (largest less smallest value); 0.1 to 0.2 in section 3.2 of the paper.
        square: Whether the gradients are squared before they are averaged.
        batch_size: Copies that the model gets at a time.
        preprocess: As for `input_gradient`.

    Raises:
        ValueError: if a number is out of range, or as `input_gradient`.

    References:
        Smilkov et al., "SmoothGrad: Removing Noise by Adding Noise", 2017, section 2,
        https://arxiv.org/abs/1706.03825.
    """
    check_number("samples", samples, 1)
    check_number("noise", noise, 0, whole=False)
    images = prepare(images, preprocess)
    score = make_score(model, variables, target, images)
    axes = tuple(range(1, images.ndim))
    spread = images.max(axes, keepdims=True) - images.min(axes, keepdims=True)

    def one(key: Array) -> Array:
        moved = images + noise * spread * jax.random.normal(
            key, images.shape, images.dtype
        )
        found = gradient(score, moved)
        return jnp.square(found) if square else found

    keys = jax.random.split(key, samples)
    weights = jnp.full(samples, 1 / samples, images.dtype)
    copies = copies_within(batch_size, len(images))
    traced = is_traced(variables, images, key)
    return sum_points(one, keys, weights, copies, traced=traced)


def gradient(score: Score, images: Array) -> Array:
    """Returns the gradient of each image's own score by that image.

    No image takes part in another's score, so the gradient of the sum holds all.
    """
    return jax.grad(lambda images: score(images).sum())(images)
