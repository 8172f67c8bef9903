"""What torchvision, and timm alike, call the layers of the residual networks."""

import re

from flax import linen as nn

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.resnet_cifar import CifarResNet

_CONVS = {"conv1": 1, "reduce": 1, "conv2": 2, "conv": 2, "expand": 3}


def _conv(match: re.Match[str]) -> str:
    kind = {"conv": "conv", "norm": "bn"}[match[2]]
    return f".{kind}{_CONVS[match[1]]}"


_RULES = [
    (r"^stem/conv$", "conv1"),
    (r"^stem/norm$", "bn1"),
    (r"^stage(\d+)_block(\d+)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}"),
    (r"/shortcut/conv$", ".downsample.0"),
    (r"/shortcut/norm$", ".downsample.1"),
    (r"/(conv1|conv2|reduce|conv|expand)/(conv|norm)$", _conv),
]


def _torchvision(path: str, model: nn.Module) -> str:
    return rewrite(path, [*_RULES, (r"^head$", "fc")])


def _cifar(path: str, model: nn.Module) -> str:
    """Names of https://github.com/akamaster/pytorch_resnet_cifar10."""
    rules = [(r"/shortcut/(conv|norm)$", _shortcut), *_RULES, (r"^head$", "linear")]
    return rewrite(path, rules)


def _shortcut(match: re.Match[str]) -> str:
    return {"conv": ".shortcut.0", "norm": ".shortcut.1"}[match[1]]


register_key_map(ResNet, KeyMap("torchvision", _torchvision))
register_key_map(CifarResNet, KeyMap("akamaster", _cifar))
register_key_map(CifarResNet, KeyMap("torchvision", _torchvision))
