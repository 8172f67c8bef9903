"""Seeing inside: features, receptive fields, dreams, attribution and style.

Functions of `(model, variables, images, ...)` that return arrays. They know paths of
submodules alone, so they work for every registered model and for any Linen module.
`jaxcnn.plotting` makes pictures of what they return.
"""

from jaxcnn.interpret.ascent import (
    Ascent,
    Prior,
    maximize_activation,
    noise_images,
    total_variation,
)
from jaxcnn.interpret.deepdream import deepdream
from jaxcnn.interpret.style import StyleResult, StyleStep, style_transfer
from jaxcnn.interpret.style_losses import content_loss, gram_matrix, style_loss
from jaxcnn.interpret.style_options import StyleOptions
from jaxcnn.interpret.targets import Target, output_at

__all__ = [
    "Ascent",
    "Prior",
    "StyleOptions",
    "StyleResult",
    "StyleStep",
    "Target",
    "content_loss",
    "deepdream",
    "gram_matrix",
    "maximize_activation",
    "noise_images",
    "output_at",
    "style_loss",
    "style_transfer",
    "total_variation",
]
