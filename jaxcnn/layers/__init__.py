"""Linen layers that the model families share."""

from jaxcnn.layers.activation import ACTIVATIONS, make_activation
from jaxcnn.layers.branches import Branches, Unit
from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.conv import Conv, ConvNorm, conv_padding
from jaxcnn.layers.conv_act import ConvAct
from jaxcnn.layers.drop import DropPath
from jaxcnn.layers.inception import InceptionA
from jaxcnn.layers.initializers import (
    INITIALIZERS,
    he_normal_fan_out,
    make_initializer,
)
from jaxcnn.layers.norm import NORMS, batch_norm, make_norm
from jaxcnn.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMS",
    "Branches",
    "Conv",
    "ConvAct",
    "ConvNorm",
    "DropPath",
    "InceptionA",
    "SqueezeExcite",
    "Unit",
    "batch_norm",
    "check_choice",
    "check_images",
    "check_number",
    "check_numbers",
    "conv_padding",
    "he_normal_fan_out",
    "make_activation",
    "make_initializer",
    "make_norm",
]
