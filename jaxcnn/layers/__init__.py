"""Linen layers that the model families share."""

from jaxcnn.layers.activation import ACTIVATIONS, make_activation
from jaxcnn.layers.checks import (
    check_choice,
    check_images,
    check_number,
    check_numbers,
    check_rows,
)
from jaxcnn.layers.conv import Conv, ConvNorm, conv_padding
from jaxcnn.layers.drop import DropPath
from jaxcnn.layers.inception import InceptionA
from jaxcnn.layers.initializers import (
    INITIALIZERS,
    he_normal_fan_out,
    make_initializer,
)
from jaxcnn.layers.inverted_residual import InvertedResidual, make_divisible
from jaxcnn.layers.norm import NORMS, batch_norm, make_norm
from jaxcnn.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMS",
    "Conv",
    "ConvNorm",
    "DropPath",
    "InceptionA",
    "InvertedResidual",
    "SqueezeExcite",
    "batch_norm",
    "check_choice",
    "check_images",
    "check_number",
    "check_numbers",
    "check_rows",
    "conv_padding",
    "he_normal_fan_out",
    "make_activation",
    "make_divisible",
    "make_initializer",
    "make_norm",
]
