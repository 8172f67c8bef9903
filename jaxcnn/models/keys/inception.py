"""What torchvision and timm call the layers of Inception-v3, -v4 and -ResNet-v2."""

import re
from typing import Any

from jaxcnn.models.inception_resnet import InceptionResNetV2
from jaxcnn.models.inception_v3 import InceptionV3
from jaxcnn.models.inception_v4 import InceptionV4
from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite

_TAIL = [(r"/norm$", "/bn"), (r"/", ".")]

_V3 = [
    (r"^conv_(1a|2a|2b|4a)", r"Conv2d_\1_3x3"),
    (r"^conv_3b", "Conv2d_3b_1x1"),
    (r"^mixed_", "Mixed_"),
    (r"^aux/conv1/", "AuxLogits/conv0/"),
    (r"^aux/conv2/", "AuxLogits/conv1/"),
    (r"^aux/head$", "AuxLogits/fc"),
    (r"^head$", "fc"),
    *_TAIL,
]


def _v3(path: str, model: InceptionV3) -> str:
    return rewrite(path, _V3)


#: timm numbers branches in their order, and the layers of a branch, pools included.
_V4_BRANCHES = {
    "mixed_3a": {"branch3x3": "conv"},
    "mixed_4a": {"branch3x3": "branch0", "branch7x7": "branch1"},
    "mixed_5a": {"branch3x3": "conv"},
    "mixed_6a": {"branch3x3": "branch0", "branch3x3dbl": "branch1"},
    "mixed_7a": {"branch3x3": "branch0", "branch7x7x3": "branch1"},
}
_BRANCHES = {
    "branch1x1": "branch0",
    "branch5x5": "branch1",
    "branch3x3": "branch1",
    "branch7x7": "branch1",
    "branch3x3dbl": "branch2",
    "branch7x7dbl": "branch2",
    "branch_pool": "branch3/1",
}


def _branch(match: re.Match[str], names: dict[str, str]) -> str:
    """Returns `branch1/0` for `branch3x3_1`, `branch1_1a` for `branch3x3_2a`."""
    name, number, letter = names[match[1]], match[2], match[3]
    return f"/{name}" + (f"/{int(number) - 1}" if number else "") + (letter or "")


def _numbered(path: str, names: dict[str, str]) -> str:
    pattern = r"/(branch\w+?)(?:_(\d)([ab])?)?(?=/)"
    return re.sub(pattern, lambda match: _branch(match, names), path)


def _v4(path: str, model: InceptionV4) -> str:
    if path == "head":
        return "last_linear"
    module = path.split("/")[0]
    path = _numbered(path, _V4_BRANCHES.get(module, _BRANCHES))
    if module in [name for name, _ in model._modules()[-model.blocks[2] :]]:
        # These modules fork: their layers are not in sequences but named one by one.
        path = re.sub(r"/(branch[12])/(\d)", r"/\1_\2", path)
    order = ["conv_1a", "conv_2a", "conv_2b", *(name for name, _ in model._modules())]
    path = path.replace(module, f"features/{order.index(module)}", 1)
    return rewrite(path, _TAIL)


_RESNET_BRANCHES: dict[str, dict[str, str]] = {
    "mixed_6a": {"branch3x3": "branch0", "branch3x3dbl": "branch1"},
    "mixed_7a": {
        "branch3x3a": "branch0",
        "branch3x3b": "branch1",
        "branch3x3dbl": "branch2",
    },
}


def _inception_resnet_v2(path: str, model: InceptionResNetV2) -> str:
    def block(match: re.Match[str]) -> str:
        kind, number = match[1], int(match[2])
        if kind == "8" and number == model.blocks[2]:
            return "block8/"
        sequence = {"35": "repeat", "17": "repeat_1", "8": "repeat_2"}[kind]
        return f"{sequence}/{number - 1}/"

    module = path.split("/")[0]
    rules: list[Any] = [
        (r"^conv_", "conv2d_"),
        (r"^block(\d+)_(\d+)/", block),
        (r"/expand$", "/conv2d"),
        (r"^head$", "classif"),
    ]
    path = _numbered(path, _RESNET_BRANCHES.get(module, _BRANCHES))
    return rewrite(path, [*rules, *_TAIL])


register_key_map(InceptionV3, KeyMap("torchvision", _v3, ignored=r"AuxLogits\."))
register_key_map(InceptionV3, KeyMap("timm", _v3, ignored=r"AuxLogits\."))
register_key_map(InceptionV4, KeyMap("timm", _v4))
register_key_map(InceptionResNetV2, KeyMap("timm", _inception_resnet_v2))
