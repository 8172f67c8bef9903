"""What timm and Keras call the layers of Xception."""

import re

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.xception import Xception


def _sequence(match: re.Match[str]) -> str:
    """Counts activations, as timm does: ReLU, separable convolution, norm, ReLU ..."""
    block, number, layer = match[1], int(match[2]), match[3]
    first = 3 * (number - 1) + (block != "1")  # no ReLU begins the first block
    inside = {"depthwise": ".conv1", "pointwise": ".pointwise", "norm": ""}[layer]
    return f"block{block}.rep.{first + (layer == 'norm')}{inside}"


def _timm(path: str, model: Xception) -> str:
    rules = [
        (r"^block(\d+)/sepconv(\d)/(\w+)$", _sequence),
        (r"^block(\d+)/shortcut/conv$", r"block\1.skip"),
        (r"^block(\d+)/shortcut/norm$", r"block\1.skipbn"),
        (r"^conv(\d)/conv$", r"conv\1"),
        (r"^conv(\d)/norm$", r"bn\1"),
        (r"^conv(\d)/depthwise$", r"conv\1.conv1"),
        (r"^conv(\d)/pointwise$", r"conv\1.pointwise"),
        (r"^head$", "fc"),
    ]
    return rewrite(path, rules)


def _keras(path: str, model: Xception) -> str:
    last = model.middle_blocks + 4
    shortcuts = [f"block{n}/shortcut/" for n in (1, 2, 3, last)]
    for number, shortcut in enumerate(shortcuts):
        # Keras does not name these: the first of a kind has no number.
        suffix = f"_{number}" if number else ""
        names = {"conv": f"conv2d{suffix}", "norm": f"batch_normalization{suffix}"}
        if path.startswith(shortcut):
            return names[path.removeprefix(shortcut)]
    rules = [
        (r"^block(\d+)/sepconv", lambda m: f"block{int(m[1]) + 1}_sepconv"),
        (r"^conv([12])/", r"block1_conv\1/"),
        (r"^conv3/", f"block{last + 2}_sepconv1/"),
        (r"^conv4/", f"block{last + 2}_sepconv2/"),
        (r"/(depth|point)wise$", r"/\1wise_kernel"),
        (r"/conv$", ""),
        (r"/norm$", "_bn"),
        (r"^head$", "predictions"),
    ]
    return rewrite(path, rules)


register_key_map(Xception, KeyMap("timm", _timm))
register_key_map(Xception, KeyMap("keras", _keras, layout="keras"))
