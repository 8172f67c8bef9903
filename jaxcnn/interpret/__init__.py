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
from jaxcnn.interpret.attribution import METHODS, SIGNED, attribution_map
from jaxcnn.interpret.deepdream import deepdream
from jaxcnn.interpret.default_layer import default_layer
from jaxcnn.interpret.faithfulness import (
    Curve,
    deletion_score,
    insertion_score,
    random_maps,
)
from jaxcnn.interpret.filters import filter_images, first_layer
from jaxcnn.interpret.gradcam import (
    CAMS,
    class_activation_map,
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
)
from jaxcnn.interpret.guided import guided_backpropagation, with_guided_relus
from jaxcnn.interpret.integrated_gradients import (
    IntegratedGradients,
    integrated_gradients,
)
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
from jaxcnn.interpret.occlusion import occlusion
from jaxcnn.interpret.projection import Pca, pca, tsne
from jaxcnn.interpret.randomisation import (
    Randomisation,
    randomised_weights_check,
    rank_correlation,
)
from jaxcnn.interpret.receptive_field import (
    FieldMeasure,
    ReceptiveField,
    effective_receptive_field,
    measure_field,
    receptive_field,
)
from jaxcnn.interpret.saliency import (
    gradient_times_input,
    input_gradient,
    pixel_map,
    saliency,
    smooth_grad,
)
from jaxcnn.interpret.style import StyleResult, StyleStep, style_transfer
from jaxcnn.interpret.style_losses import content_loss, gram_matrix, style_loss
from jaxcnn.interpret.style_options import StyleOptions
from jaxcnn.interpret.targets import Target, output_at

__all__ = [
    "CAMS",
    "METHODS",
    "SIGNED",
    "Ascent",
    "Curve",
    "FieldMeasure",
    "IntegratedGradients",
    "LatentGrid",
    "Neighbours",
    "Pca",
    "Prior",
    "Randomisation",
    "ReceptiveField",
    "Reconstruction",
    "StyleOptions",
    "StyleResult",
    "StyleStep",
    "Target",
    "attribution_map",
    "class_activation_map",
    "content_loss",
    "decode",
    "deepdream",
    "default_layer",
    "deletion_score",
    "effective_receptive_field",
    "eigen_cam",
    "encode",
    "feature_maps",
    "filter_images",
    "first_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_times_input",
    "gram_matrix",
    "guided_backpropagation",
    "hires_cam",
    "input_gradient",
    "insertion_score",
    "integrated_gradients",
    "interpolate",
    "latent_grid",
    "layer_cam",
    "maximize_activation",
    "measure_field",
    "nearest_neighbours",
    "noise_images",
    "occlusion",
    "output_at",
    "pca",
    "pixel_map",
    "random_maps",
    "randomised_weights_check",
    "rank_correlation",
    "receptive_field",
    "reconstruct",
    "saliency",
    "smooth_grad",
    "strongest_channels",
    "style_loss",
    "style_transfer",
    "total_variation",
    "tsne",
    "with_guided_relus",
]
