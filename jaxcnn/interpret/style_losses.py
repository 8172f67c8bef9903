"""What a picture has of the content of one image and of the style of others."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from flax.errors import ScopeParamShapeError

from jaxcnn.augment.color import luminance
from jaxcnn.interpret.ascent import total_variation
from jaxcnn.interpret.targets import output_at
from jaxcnn.models.features import capture
from jaxcnn.typing import Array, PyTree

#: Distances of content and of style by name; see `content_loss` and `style_loss`.
SCALES = ("relative", "paper")
# Differences below 5 / 255 count by their squares: L-BFGS needs a smooth loss.
_SOFTNESS = 0.02


def gram_matrix(features: Array) -> Array:
    r"""Returns the mean over all positions of the products of two channels.

    .. math:: G_{cd} = \frac{1}{M} \sum_p F_{pc} F_{pd}

    over the :math:`M` positions :math:`p`. Gatys et al. (eq. 3) leave :math:`1 / M`
    out and divide by it in their loss (eq. 4); here it stands in the matrix, so that
    pictures of different sizes compare.

    Args:
        features: `[batch, *spatial, channels]`.

    Returns:
        `[batch, channels, channels]`, symmetric.

    Example:
        >>> features = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])  # two positions
        >>> gram_matrix(features)[0].tolist()
        [[5.0, 7.0], [7.0, 10.0]]
    """
    flat = features.reshape(features.shape[0], -1, features.shape[-1])
    return jnp.einsum("bpc,bpd->bcd", flat, flat) / flat.shape[1]


def content_loss(features: Array, target: Array, scale: str = "relative") -> Array:
    r"""Returns the distance between two layers of features, one number.

    `"paper"` is :math:`\frac12 \sum (F - P)^2` (eq. 1), which grows with the picture.
    `"relative"` is :math:`\sum (F - P)^2 / \sum P^2`, which neither the size nor the
    network's units change: 0 for the image itself, 1 where nothing is left of it.

    Args:
        features: Of the picture, any shape.
        target: Of the content image, of the same shape.
        scale: `"relative"` or `"paper"`.
    """
    squares = ((features - target) ** 2).sum()
    return squares / 2 if scale == "paper" else _share(squares, target)


def style_loss(gram: Array, target: Array, scale: str = "relative") -> Array:
    r"""Returns the distance between two Gram matrices of a layer, one number.

    `"paper"` is :math:`\frac{1}{4 N^2} \sum (G - A)^2` over :math:`N` channels: eq. 4
    for pictures of one size. `"relative"` is :math:`\sum (G - A)^2 / \sum A^2`.

    Args:
        gram: `gram_matrix` of the picture.
        target: That of the style image, or a weighted mean of several.
        scale: `"relative"` or `"paper"`.
    """
    squares = ((gram - target) ** 2).sum()
    if scale == "paper":
        return squares / (4 * gram.shape[-1] ** 2)
    return _share(squares, target)


def _share(squares: Array, target: Array) -> Array:
    """Returns `squares` as a part of the target's own; of zeros, as they are."""
    whole = (target**2).sum()
    return squares / jnp.where(whole > 0, whole, 1)


class Targets(NamedTuple):
    """Features of the content image and Gram matrices of the style, by layer."""

    content: dict[str, Array]
    style: dict[str, Array]


class LossWeights(NamedTuple):
    """How much each part of the loss counts.

    Attributes:
        content: Of the weighted sum over the content layers.
        style: Of the weighted sum over the style layers.
        tv: Of the mean difference between neighbouring pixels.
        content_layers: Weights by path.
        style_layers: Weights by path.
    """

    content: float
    style: float
    tv: float
    content_layers: dict[str, float]
    style_layers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class StyleObjective:
    """The loss of a picture, and the targets that it needs. Its methods are pure.

    Attributes:
        model: Any Linen module.
        preprocess: From pixels in [0, 1] to what the model gets, or None.
        content_layers: Paths.
        style_layers: Paths.
        scale: See `content_loss`.
    """

    model: nn.Module
    preprocess: Callable[[Array], Array] | None
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    scale: str

    def features(
        self, variables: PyTree, image: Array, paths: Sequence[str]
    ) -> dict[str, Array]:
        """Returns the outputs of submodules for `[1, height, width, 1 or 3]`.

        Raises:
            ValueError: if one is no feature map.
        """
        images = jnp.repeat(image, 3, -1) if image.shape[-1] == 1 else image
        if self.preprocess is not None:
            images = self.preprocess(images)
        try:
            found = capture(self.model, variables, images, paths)
        except ScopeParamShapeError:  # a dense layer behind a map of another size
            found = {
                path: output_at(self.model, variables, images, path) for path in paths
            }
        for path, output in found.items():
            if getattr(output, "ndim", 0) != 4:
                what = getattr(output, "shape", type(output).__name__)
                raise ValueError(
                    f"The layer {path!r} gives {what}; style and content need maps "
                    "[batch, height, width, channels]: take a convolution or a block."
                )
        return found

    def content_targets(self, variables: PyTree, image: Array) -> dict[str, Array]:
        """Returns the content image's features by layer."""
        return self.features(variables, image, self.content_layers)

    def style_targets(self, variables: PyTree, image: Array) -> dict[str, Array]:
        """Returns a style image's Gram matrices by layer."""
        found = self.features(variables, image, self.style_layers)
        return {path: gram_matrix(layer) for path, layer in found.items()}

    def __call__(
        self, image: Array, variables: PyTree, targets: Targets, weights: LossWeights
    ) -> tuple[Array, dict[str, Array]]:
        """Returns the loss of a picture and its parts.

        Args:
            image: `[1, height, width, 1 or 3]` in [0, 1].
            variables: The model's.
            targets: What the picture is to be like.
            weights: How much each part counts.

        Returns:
            The loss, and by name: `"total"` (the same), `"content"`, `"style"` and
            `"tv"` without their weights, and `"style/PATH"` for each style layer.
        """
        paths = dict.fromkeys([*self.content_layers, *self.style_layers])
        found = self.features(variables, image, tuple(paths))
        content = sum(
            weights.content_layers[path]
            * content_loss(found[path], targets.content[path], self.scale)
            for path in self.content_layers
        )
        layers = {
            path: style_loss(gram_matrix(found[path]), targets.style[path], self.scale)
            for path in self.style_layers
        }
        style = sum(weights.style_layers[path] * loss for path, loss in layers.items())
        variation = total_variation(image, softness=_SOFTNESS)[0] / image.size
        total = weights.content * content + weights.style * style
        total += weights.tv * variation
        parts = {"total": total, "content": content, "style": style, "tv": variation}
        parts |= {f"style/{path}": loss for path, loss in layers.items()}
        return total, parts


def in_the_colours_of(content: Array, picture: Array) -> Array:
    """Returns the content image with the luminance of the picture, in [0, 1].

    Adding one number to red, green and blue changes the luminance by it and leaves the
    other two axes of YIQ as they are: Gatys et al., "Preserving Color in Neural
    Artistic Style Transfer", 2016, section 4, https://arxiv.org/abs/1606.05897.

    Args:
        content: `[batch, height, width, 3]` in [0, 1].
        picture: Of the same height and width, with 1 or 3 channels.
    """
    change = luminance(picture) - luminance(content)
    return jnp.clip(content + change, 0, 1)


def with_the_luminance_of(content: Array, style: Array) -> Array:
    """Returns the style's luminance with the content's mean and deviation.

    Section 4 of the same paper: otherwise a dark style darkens the content.

    Args:
        content: `[batch, height, width, channels]`.
        style: Likewise, of any height and width.

    Returns:
        `[batch, height, width, 1]`, not cut off at 0 and 1.
    """
    ours, theirs = luminance(content), luminance(style)
    ratio = ours.std() / jnp.maximum(theirs.std(), 1e-6)
    return (theirs - theirs.mean()) * ratio + ours.mean()
