"""What torchvision, timm and Keras call the layers of the VGG networks."""

import re

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.vgg import VGG


def _features(path: str, model: VGG) -> str | None:
    """Returns the place of a convolution or norm in PyTorch's sequence of layers."""
    match = re.match(r"^conv(\d+)_(\d+)/(conv|norm)$", path)
    if not match:
        return None
    stage, number = int(match[1]) - 1, int(match[2]) - 1
    convs = sum(model.stage_sizes[:stage]) + number
    layers = 3 if model.norm else 2  # convolution, norm, activation
    return f"features.{convs * layers + stage + (match[3] == 'norm')}"


def _torchvision(path: str, model: VGG) -> str:
    dense = {"hidden1": "classifier.0", "hidden2": "classifier.3"}
    return _features(path, model) or {**dense, "head": "classifier.6"}[path]


def _timm(path: str, model: VGG) -> str:
    """Dense layers but the last are convolutions there."""
    dense = {"hidden1": "pre_logits.fc1", "hidden2": "pre_logits.fc2"}
    return _features(path, model) or {**dense, "head": "head.fc"}[path]


def _keras(path: str, model: VGG) -> str:
    rules = [(r"^conv(\d+)_(\d+)/conv$", r"block\1_conv\2"), (r"^hidden", "fc")]
    return rewrite(path, [*rules, (r"^head$", "predictions")])


register_key_map(
    VGG, KeyMap("torchvision", _torchvision, flattens={"hidden1": (512, 7, 7)})
)
register_key_map(VGG, KeyMap("timm", _timm))
register_key_map(VGG, KeyMap("keras", _keras, layout="keras"))
