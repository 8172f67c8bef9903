"""Seeing inside: features, receptive fields, dreams, attribution and style.

Functions of `(model, variables, images, ...)` that return arrays. They know paths of
submodules alone, so they work for every registered model and for any Linen module.
`jaxcnn.plotting` makes pictures of what they return.
"""

from jaxcnn.interpret.attribution import METHODS, SIGNED, attribution_map
from jaxcnn.interpret.default_layer import default_layer
from jaxcnn.interpret.faithfulness import (
    Curve,
    deletion_score,
    insertion_score,
    random_maps,
)
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
from jaxcnn.interpret.occlusion import occlusion
from jaxcnn.interpret.randomisation import (
    Randomisation,
    randomised_weights_check,
    rank_correlation,
)
from jaxcnn.interpret.saliency import (
    gradient_times_input,
    input_gradient,
    pixel_map,
    saliency,
    smooth_grad,
)

__all__ = [
    "CAMS",
    "METHODS",
    "SIGNED",
    "Curve",
    "IntegratedGradients",
    "Randomisation",
    "attribution_map",
    "class_activation_map",
    "default_layer",
    "deletion_score",
    "eigen_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_times_input",
    "guided_backpropagation",
    "hires_cam",
    "input_gradient",
    "insertion_score",
    "integrated_gradients",
    "layer_cam",
    "occlusion",
    "pixel_map",
    "random_maps",
    "randomised_weights_check",
    "rank_correlation",
    "saliency",
    "smooth_grad",
    "with_guided_relus",
]
