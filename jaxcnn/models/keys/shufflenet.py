"""What torchvision calls the layers of ShuffleNet v2."""

import re

from flax import linen as nn

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.shufflenet_v2 import ShuffleNetV2

#: Branch and index of each convolution; its norm is the next one.
_CONVS = {
    "shortcut_depthwise": (1, 0),
    "shortcut_pointwise": (1, 2),
    "reduce": (2, 0),
    "depthwise": (2, 3),
    "expand": (2, 5),
}


def _layer(match: re.Match[str]) -> str:
    branch, index = _CONVS[match[1]]
    return f".branch{branch}.{index + {'conv': 0, 'norm': 1}[match[2]]}"


_RULES = [
    (r"/(\w+)/(conv|norm)$", _layer),
    (r"^stage(\d+)_block(\d+)", lambda m: f"stage{int(m[1]) + 1}.{int(m[2]) - 1}"),
    (r"^stem/", "conv1."),
    (r"^last/", "conv5."),
    (r"conv$", "0"),
    (r"norm$", "1"),
    (r"^head$", "fc"),
]


def _torchvision(path: str, model: nn.Module) -> str:
    return rewrite(path, _RULES)


register_key_map(ShuffleNetV2, KeyMap("torchvision", _torchvision))
