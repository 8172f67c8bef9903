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
from jaxcnn.interpret.filters import filter_images, first_layer
from jaxcnn.interpret.latents import (
    LatentGrid,
    Reconstruction,
    decode,
    encode,
    interpolate,
    latent_grid,
    reconstruct,
)
from jaxcnn.interpret.maps import feature_maps, strongest_channels
from jaxcnn.interpret.neighbours import Neighbours, nearest_neighbours
from jaxcnn.interpret.projection import Pca, pca, tsne
from jaxcnn.interpret.receptive_field import (
    FieldMeasure,
    ReceptiveField,
    effective_receptive_field,
    measure_field,
    receptive_field,
)
from jaxcnn.interpret.style import StyleResult, StyleStep, style_transfer
from jaxcnn.interpret.style_losses import content_loss, gram_matrix, style_loss
from jaxcnn.interpret.style_options import StyleOptions
from jaxcnn.interpret.targets import Target, output_at

__all__ = [
    "Ascent",
    "FieldMeasure",
    "LatentGrid",
    "Neighbours",
    "Pca",
    "Prior",
    "ReceptiveField",
    "Reconstruction",
    "StyleOptions",
    "StyleResult",
    "StyleStep",
    "Target",
    "content_loss",
    "decode",
    "deepdream",
    "effective_receptive_field",
    "encode",
    "feature_maps",
    "filter_images",
    "first_layer",
    "gram_matrix",
    "interpolate",
    "latent_grid",
    "maximize_activation",
    "measure_field",
    "nearest_neighbours",
    "noise_images",
    "output_at",
    "pca",
    "receptive_field",
    "reconstruct",
    "strongest_channels",
    "style_loss",
    "style_transfer",
    "total_variation",
    "tsne",
]
