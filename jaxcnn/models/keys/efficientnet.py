"""What torchvision, timm and Keras call the layers of the EfficientNets."""

import re
import string

from flax import linen as nn

from jaxcnn.models.efficientnet import EfficientNet, block_settings
from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.keys.mobilenet import timm_block, torchvision_block


def _torchvision(path: str, model: nn.Module) -> str:
    block, _, inside = path.partition("/")
    match = re.fullmatch(r"stage(\d+)_block(\d+)", block)
    if match:
        prefix = f"features.{match[1]}.{int(match[2]) - 1}.block"
        return torchvision_block(inside, prefix, block_settings(model)[block])
    rules = [
        (r"^stem/", "features.0."),
        (r"^last/", f"features.{len(model.stages) + 1}."),
        (r"conv$", "0"),
        (r"norm$", "1"),
        (r"^head$", "classifier.1"),
    ]
    return rewrite(path, rules)


def _timm(path: str, model: nn.Module) -> str:
    rules = [
        (r"^stem/conv$", "conv_stem"),
        (r"^stem/norm$", "bn1"),
        (r"^last/conv$", "conv_head"),
        (r"^last/norm$", "bn2"),
        (r"^head$", "classifier"),
    ]
    return timm_block(rewrite(path, rules), block_settings(model))


def _keras_block(match: re.Match[str]) -> str:
    return f"block{match[1]}{string.ascii_lowercase[int(match[2]) - 1]}_"


_KERAS = [
    (r"^stage(\d+)_block(\d+)/", _keras_block),
    (r"depthwise/conv$", "dwconv"),
    (r"depthwise/norm$", "bn"),
    (r"squeeze_excite/(\w+)$", r"se_\1"),
    (r"(expand|project)/conv$", r"\1_conv"),
    (r"(expand|project)/norm$", r"\1_bn"),
    (r"^stem/conv$", "stem_conv"),
    (r"^stem/norm$", "stem_bn"),
    (r"^last/conv$", "top_conv"),
    (r"^last/norm$", "top_bn"),
    (r"^head$", "predictions"),
]


def _keras(path: str, model: nn.Module) -> str:
    return rewrite(path, _KERAS)


register_key_map(EfficientNet, KeyMap("torchvision", _torchvision))
register_key_map(EfficientNet, KeyMap("timm", _timm))
register_key_map(
    EfficientNet,
    # The mean and the variance of the pixels are preprocessing here.
    KeyMap("keras", _keras, layout="keras", ignored=r"normalization\w*/"),
)
