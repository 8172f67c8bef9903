"""Neural style transfer: the content of one image in the style of others.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
CVPR 2016, https://openaccess.thecvf.com/content_cvpr_2016/html/Gatys_Image_Style_Transfer_CVPR_2016_paper.html.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike

from jaxcnn.augment.color import luminance
from jaxcnn.data.preprocess import to_float
from jaxcnn.data.resample import resize_and_crop
from jaxcnn.interpret.compiling import compiled
from jaxcnn.interpret.style_layers import (
    default_content_layers,
    default_style_layers,
    layer_weights,
)
from jaxcnn.interpret.style_losses import (
    LossWeights,
    StyleObjective,
    Targets,
    in_the_colours_of,
    with_the_luminance_of,
)
from jaxcnn.interpret.style_optimizers import Steps, adam_steps, lbfgs_steps
from jaxcnn.interpret.style_options import StyleOptions
from jaxcnn.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class StyleStep:
    """How far a transfer is, as its callback sees it.

    Attributes:
        step: Steps made, of all sizes together; 0 is the picture it starts from.
        steps: Steps to make.
        shape: (height, width) of the picture now.
        losses: By name, as in `StyleResult`.
        picture: Returns the picture as it is now, `[height, width, 3]` in [0, 1].
    """

    step: int
    steps: int
    shape: tuple[int, int]
    losses: dict[str, float]
    picture: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class StyleResult:
    """What `style_transfer` made.

    Attributes:
        image: float32 `[height, width, 3]` in [0, 1].
        losses: One number a picture: the one that each size starts from and those
            behind its steps, one size after the other. `"total"`, and without their
            weights `"content"`, `"style"`, `"tv"` and `"style/PATH"` of each layer.
        sizes: The longer side of each of these pictures.
    """

    image: np.ndarray
    losses: dict[str, np.ndarray]
    sizes: np.ndarray


def style_transfer(
    model: nn.Module,
    variables: PyTree,
    content: ArrayLike,
    styles: ArrayLike | Sequence[ArrayLike],
    *,
    preprocess: Callable[[Array], Array] | None = None,
    options: StyleOptions | None = None,
    mix: Sequence[float] | None = None,
    on_step: Callable[[StyleStep], None] | None = None,
) -> StyleResult:
    """Returns a picture that shows the content image in the style of others.

    Its pixels are optimised: at some layers its features are to be those of the
    content image, at others its Gram matrices those of the style images. Large shapes
    are settled on small pictures first, if `options.sizes` names several sizes.

    Args:
        model: A classifier of the library, or any Linen module that takes images
            `[batch, height, width, 3]` of any size.
        variables: Its trained variables.
        content: `[height, width, 3]`, uint8 or floats in [0, 1].
        styles: One such image of any size, or several.
        preprocess: From images in [0, 1] to what the model gets, such as
            `make_preprocess(config)` of a configuration without sizes; None for none.
        options: Layers, weights, sizes, steps and more.
        mix: A weight for each style image; by default alike.
        on_step: Called with a `StyleStep` before and after every step.

    Returns:
        The picture in the last of the sizes, and the losses on the way.

    Raises:
        ValueError: if an image, a layer or a weight is not usable.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("cnn", features=(4,), num_classes=2)
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        >>> content, style = jax.random.uniform(jax.random.key(1), (2, 16, 16, 3))
        >>> layers = {"content_layers": ["stage1_conv1"]}
        >>> options = StyleOptions(
        ...     **layers, style_layers=["stage1_conv1"], sizes=(16,), steps=2
        ... )
        >>> result = style_transfer(model, variables, content, style, options=options)
        >>> result.image.shape, result.losses["total"].shape
        ((16, 16, 3), (3,))
    """
    options = StyleOptions() if options is None else options
    objective, weights = _objective(model, preprocess, options)
    content = _image("content", content)
    painted = [_image("styles", style) for style in _several(styles)]
    shares = _shares(mix, len(painted))
    records: list[dict[str, float]] = []
    lengths: list[int] = []
    all_steps = options.steps_of_sizes()
    start, began = None, 0
    for size, steps in zip(options.sizes, all_steps, strict=True):
        level = _Level(objective, options, variables, content, painted, shares, size)
        for made, (image, losses) in enumerate(level.run(weights, start, steps)):
            found = {name: float(value) for name, value in losses.items()}
            _check_finite(found)
            records.append(found)
            lengths.append(size)
            if on_step is not None:
                picture = functools.partial(level.finished, image)
                now = began + made, sum(all_steps), level.whole.shape[1:3]
                on_step(StyleStep(*now, found, picture))
        start, began = image, began + steps
    return StyleResult(
        image=level.finished(image),
        losses={name: np.array([r[name] for r in records]) for name in records[0]},
        sizes=np.array(lengths),
    )


class _Level:
    """One of the sizes: its targets, and the steps over a picture of that size."""

    def __init__(self, objective, options, variables, content, styles, shares, size):
        self.objective, self.options, self.variables = objective, options, variables
        self.whole = _resized(content, size)
        self.content = _with_margin(self.whole, options.margin)
        styles = [
            _resized(s, max(1, round(size * options.style_scale))) for s in styles
        ]
        source = self.content
        if options.colours == "content":
            styles = [with_the_luminance_of(source, style) for style in styles]
            source = luminance(source)
        self.source = source
        content_of = compiled(StyleObjective.content_targets, objective)
        gram_of = compiled(StyleObjective.style_targets, objective)
        grams = [gram_of(variables, style) for style in styles]
        self.targets = Targets(
            content=content_of(variables, source),
            style=jax.tree.map(
                lambda *layer: sum(w * g for w, g in zip(shares, layer, strict=True)),
                *grams,
            ),
        )

    def run(self, weights: LossWeights, image: Array | None, steps: int) -> Steps:
        """Returns the steps from the picture of the size before, or from the start."""
        slope = compiled(_gradient, self.objective)

        def evaluate(image: Array) -> tuple[dict[str, Array], Array]:
            found, losses = slope(image, self.variables, self.targets, weights)
            return losses, found

        if image is not None:
            image = _scaled(self._cut(image), self.whole.shape[1:3])
            image = _with_margin(jnp.clip(image, 0, 1), self.options.margin)
        elif self.options.start == "content":
            image = self.source
        else:
            key = jax.random.key(self.options.seed)
            image = jax.random.uniform(key, self.source.shape)
        if self.options.optimizer == "adam":
            return adam_steps(evaluate, image, steps, self.options.learning_rate)
        return lbfgs_steps(evaluate, image, steps)

    def finished(self, image: Array) -> np.ndarray:
        """Returns the picture as people are to see it, `[height, width, 3]`."""
        if self.options.colours == "content":
            image = in_the_colours_of(self.content, image)
        return np.asarray(self._cut(image)[0], np.float32)

    def _cut(self, image: Array) -> Array:
        """Returns the picture without its margin."""
        margin = self.options.margin
        height, width = (n - margin for n in image.shape[1:3])
        return image[:, margin:height, margin:width]


def _gradient(objective: StyleObjective, *arrays: PyTree) -> tuple[Array, PyTree]:
    """Returns the gradient by the picture, and the losses by name."""
    return jax.grad(objective, has_aux=True)(*arrays)


def _objective(
    model: nn.Module,
    preprocess: Callable[[Array], Array] | None,
    options: StyleOptions,
) -> tuple[StyleObjective, LossWeights]:
    content = options.content_layers or default_content_layers(model)
    style = options.style_layers or default_style_layers(model)
    content = layer_weights(model, "content_layers", content)
    style = layer_weights(model, "style_layers", style)
    objective = StyleObjective(
        model, preprocess, tuple(content), tuple(style), options.scale
    )
    weights = LossWeights(
        content=options.content_weight,
        style=options.style_weight,
        tv=options.tv_weight,
        content_layers=content,
        style_layers=style,
    )
    return objective, weights


def _image(name: str, image: ArrayLike) -> Array:
    """Returns `[1, height, width, 3]` floats in [0, 1]."""
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(
            f"{name} must be an image [height, width, 3], got shape {array.shape}."
        )
    pixels = np.asarray(to_float(array), np.float32)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} must be uint8 or floats in [0, 1], got floats in "
            f"[{low:.4g}, {high:.4g}]."
        )
    return jnp.asarray(pixels)[None]


def _several(styles: ArrayLike | Sequence[ArrayLike]) -> list[ArrayLike]:
    if isinstance(styles, (list, tuple)):
        if not styles:
            raise ValueError("styles is empty: give one style image or more.")
        return list(styles)
    return list(styles) if np.ndim(styles) == 4 else [styles]


def _shares(mix: Sequence[float] | None, count: int) -> list[float]:
    """Returns the weights of the style images, which add up to 1."""
    if mix is None:
        return [1 / count] * count
    mix = [float(weight) for weight in mix]
    good = all(math.isfinite(weight) and weight >= 0 for weight in mix) and sum(mix) > 0
    if len(mix) != count or not good:
        raise ValueError(
            f"mix must be a weight of at least 0 for each of {count} style images, not "
            f"all 0, got {mix}."
        )
    return [weight / sum(mix) for weight in mix]


def _resized(image: Array, longer: int) -> Array:
    """Returns the image with its longer side as asked for."""
    height, width = image.shape[1:3]
    ratio = longer / max(height, width)
    shape = max(1, round(height * ratio)), max(1, round(width * ratio))
    return jnp.clip(_scaled(image, shape), 0, 1)


def _scaled(image: Array, shape: tuple[int, int]) -> Array:
    return resize_and_crop(image, shape, interpolation="bicubic")


def _with_margin(image: Array, margin: int) -> Array:
    """Returns the image with mirrored pixels around it.

    Pixels at the edge are in few windows of a convolution that does not pad, so that
    they hardly change, and next to zeros where it does.
    """
    sides = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return jnp.pad(image, sides, mode="symmetric")


def _check_finite(losses: dict[str, float]) -> None:
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(
            f"The loss {wrong[0]!r} is {losses[wrong[0]]}: check the variables, the "
            "preprocessing and the weights of the layers."
        )
