"""What a picture has of the content of one image and of the style of others."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.augment.color import luminance
from jaxcnn.interpret.ascent import total_variation
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


@dataclasses.dataclass(frozen=True)
class StyleObjective:
    """The loss of a picture, and the targets that it needs. Its methods are pure.

    Attributes:
        model: Any Linen module.
        preprocess: From pixels in [0, 1] to what the model gets.
        content_layers: Weights by path.
        style_layers: Weights by path.
        content_weight: Of the weighted sum over the content layers.
        style_weight: Of the weighted sum over the style layers.
        tv_weight: Of the mean difference between neighbouring pixels.
        scale: See `content_loss`.
    """

    model: nn.Module
    preprocess: Callable[[Array], Array]
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    content_weight: float
    style_weight: float
    tv_weight: float
    scale: str

    def features(self, variables: PyTree, image: Array, paths: list[str]) -> PyTree:
        """Returns the outputs of submodules for `[1, height, width, 1 or 3]`.

        Raises:
            ValueError: if one is no feature map.
        """
        if not paths:
            return {}
        images = jnp.repeat(image, 3, -1) if image.shape[-1] == 1 else image
        found = capture(self.model, variables, self.preprocess(images), paths)
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
        return self.features(variables, image, list(self.content_layers))

    def style_targets(self, variables: PyTree, image: Array) -> dict[str, Array]:
        """Returns a style image's Gram matrices by layer."""
        found = self.features(variables, image, list(self.style_layers))
        return {path: gram_matrix(layer) for path, layer in found.items()}

    def __call__(
        self, image: Array, variables: PyTree, targets: Targets
    ) -> tuple[Array, dict[str, Array]]:
        """Returns the loss of a picture and its parts.

        Args:
            image: `[1, height, width, 1 or 3]` in [0, 1].
            variables: The model's.
            targets: What the picture is to be like.

        Returns:
            The loss, and by name: `"total"` (the same), `"content"`, `"style"` and
            `"tv"` without their weights, and `"style/PATH"` for each style layer.
        """
        paths = list(dict.fromkeys([*self.content_layers, *self.style_layers]))
        found = self.features(variables, image, paths)
        content = sum(
            weight * content_loss(found[path], targets.content[path], self.scale)
            for path, weight in self.content_layers.items()
        )
        layers = {
            path: style_loss(gram_matrix(found[path]), targets.style[path], self.scale)
            for path in self.style_layers
        }
        style = sum(weight * layers[path] for path, weight in self.style_layers.items())
        variation = total_variation(image, softness=_SOFTNESS)[0] / image.size
        total = (
            self.content_weight * content
            + self.style_weight * style
            + self.tv_weight * variation
        )
        parts = {"total": total, "content": content, "style": style, "tv": variation}
        parts |= {f"style/{path}": loss for path, loss in layers.items()}
        return total, {name: jnp.asarray(value) for name, value in parts.items()}


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
