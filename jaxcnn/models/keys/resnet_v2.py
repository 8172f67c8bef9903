"""What timm calls the layers of the pre-activation residual networks."""

import re

from flax import linen as nn

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.resnet_v2 import ResNetV2
from jaxcnn.models.resnet_v2_cifar import CifarResNetV2

_CONVS = {"conv1": 1, "reduce": 1, "conv2": 2, "conv": 2, "expand": 3}


def _block(match: re.Match[str]) -> str:
    return f"stages.{int(match[1]) - 1}.blocks.{int(match[2]) - 1}."


_RULES = [
    (r"/(conv1|conv2|reduce|conv|expand)$", lambda m: f"/conv{_CONVS[m[1]]}"),
    (r"^stage(\d+)_block(\d+)/", _block),
    (r"\.shortcut$", ".downsample.conv"),
    (r"^stem$", "stem.conv"),
    (r"^head$", "head.fc"),
]


def _timm(path: str, model: nn.Module) -> str:
    return rewrite(path, _RULES)


register_key_map(ResNetV2, KeyMap("timm", _timm))
#: Of timm's class, with a 3x3 convolution for its stem; timm names no such model.
register_key_map(CifarResNetV2, KeyMap("timm", _timm))
