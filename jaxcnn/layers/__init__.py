"""Linen layers that the model families share."""

from jaxcnn.layers.activation import (
    ACTIVATION_MODULES,
    ACTIVATIONS,
    NoisyReLU,
    PReLU,
    RReLU,
    apply_activation,
    check_activation,
    make_activation,
)
from jaxcnn.layers.branches import Branches, Unit
from jaxcnn.layers.capsule import (
    PrimaryCapsules,
    RoutedCapsules,
    capsule_lengths,
    squash,
)
from jaxcnn.layers.checks import (
    check_choice,
    check_images,
    check_number,
    check_numbers,
    check_rows,
)
from jaxcnn.layers.conv import Conv, ConvNorm, conv_padding
from jaxcnn.layers.conv_act import ConvAct
from jaxcnn.layers.conv_transpose import ConvTranspose
from jaxcnn.layers.depthwise import DepthwiseConv, SeparableConv
from jaxcnn.layers.drop import DropBlock, Dropout, DropPath, SpatialDropout
from jaxcnn.layers.inception import InceptionA
from jaxcnn.layers.initializers import INITIALIZERS, he_normal_fan_out, make_initializer
from jaxcnn.layers.inverted_residual import InvertedResidual, make_divisible
from jaxcnn.layers.locally_connected import LocallyConnected
from jaxcnn.layers.norm import NORMS, LocalResponseNorm, batch_norm, make_norm
from jaxcnn.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_MODULES",
    "INITIALIZERS",
    "NORMS",
    "Branches",
    "Conv",
    "ConvAct",
    "ConvNorm",
    "ConvTranspose",
    "DepthwiseConv",
    "DropBlock",
    "DropPath",
    "Dropout",
    "InceptionA",
    "InvertedResidual",
    "LocalResponseNorm",
    "LocallyConnected",
    "NoisyReLU",
    "PReLU",
    "PrimaryCapsules",
    "RReLU",
    "RoutedCapsules",
    "SeparableConv",
    "SpatialDropout",
    "SqueezeExcite",
    "Unit",
    "apply_activation",
    "batch_norm",
    "capsule_lengths",
    "check_activation",
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
    "squash",
]
