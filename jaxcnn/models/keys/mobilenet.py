"""What torchvision, timm and Keras call the layers of the MobileNets."""

import re
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.mobilenet_v1 import MobileNetV1
from jaxcnn.models.mobilenet_v1 import block_settings as settings_v1
from jaxcnn.models.mobilenet_v2 import MobileNetV2
from jaxcnn.models.mobilenet_v2 import block_settings as settings_v2
from jaxcnn.models.mobilenet_v3 import MobileNetV3
from jaxcnn.models.mobilenet_v3 import block_settings as settings_v3

Settings = Mapping[str, Mapping[str, Any]]

#: Stem and head, which all of timm's MobileNets and EfficientNets share.
_TIMM = [
    (r"^stem/conv$", "conv_stem"),
    (r"^stem/norm$", "bn1"),
    (r"^head$", "classifier"),
]


def timm_block(path: str, settings: Settings) -> str:
    """Returns timm's name for a layer of an inverted residual block, or `path`.

    timm numbers the norms, and its block without expansion calls the last convolution
    `conv_pw`, which is the first one's name in a block with one.
    """
    match = re.match(r"(stage(\d+)_block(\d+))/(\w+)/(\w+)$", path)
    if not match:
        return path
    block, stage, number, layer, leaf = match.groups()
    prefix = f"blocks.{int(stage) - 1}.{int(number) - 1}"
    if layer == "squeeze_excite":
        return f"{prefix}.se.conv_{leaf}"
    expands = settings[block].get("expanded") is not None
    convs = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
    layers = list(convs) if expands else ["depthwise", "project"]
    if leaf == "norm":
        return f"{prefix}.bn{layers.index(layer) + 1}"
    return f"{prefix}.{convs[layer] if expands or layer != 'project' else 'conv_pw'}"


def torchvision_layers(settings: Mapping[str, Any]) -> list[str]:
    """Returns the layers of an inverted residual block in torchvision's order."""
    expand = ["expand"] if settings.get("expanded") is not None else []
    squeeze = ["squeeze_excite"] if settings.get("squeeze") else []
    return [*expand, "depthwise", *squeeze, "project"]


def torchvision_block(path: str, prefix: str, settings: Mapping[str, Any]) -> str:
    """Returns torchvision's name for a layer of a block of MobileNet v3's kind.

    Args:
        path: The layer's path inside the block: `"expand/conv"`.
        prefix: torchvision's name of the list that holds the block's layers.
        settings: What the block was built with.
    """
    layer, leaf = path.split("/")
    index = torchvision_layers(settings).index(layer)
    leaf = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}[leaf]
    return f"{prefix}.{index}.{leaf}"


def _timm_v1(path: str, model: nn.Module) -> str:
    path = rewrite(path, [(r"/pointwise/", "/project/"), *_TIMM])
    return timm_block(path, settings_v1(model))


def _timm_v2(path: str, model: nn.Module) -> str:
    rules = [(r"^last/conv$", "conv_head"), (r"^last/norm$", "bn2"), *_TIMM]
    return timm_block(rewrite(path, rules), settings_v2(model))


def _timm_v3(path: str, model: nn.Module) -> str:
    stage = f"blocks.{len(model.stages)}.0"
    rules = [
        (r"^last/conv$", f"{stage}.conv"),
        (r"^last/norm$", f"{stage}.bn1"),
        (r"^hidden$", "conv_head"),
        *_TIMM,
    ]
    return timm_block(rewrite(path, rules), settings_v3(model))


def _torchvision_ends(path: str, blocks: int, head: int) -> str:
    """Returns torchvision's names for what is not a block."""
    rules = [
        (r"^stem/", "features.0."),
        (r"^last/", f"features.{blocks + 1}."),
        (r"conv$", "0"),
        (r"norm$", "1"),
        (r"^hidden$", "classifier.0"),
        (r"^head$", f"classifier.{head}"),
    ]
    return rewrite(path, rules)


def _torchvision_v2(path: str, model: nn.Module) -> str:
    settings = settings_v2(model)
    block, _, inside = path.partition("/")
    if block not in settings:
        return _torchvision_ends(path, len(settings), head=1)
    prefix = f"features.{list(settings).index(block) + 1}.conv"
    layer, leaf = inside.split("/")
    index = torchvision_layers(settings[block]).index(layer)
    offset = {"conv": 0, "norm": 1}[leaf]
    # The convolution and the norm of `project` are not in a list of their own.
    if layer == "project":
        return f"{prefix}.{index + offset}"
    return f"{prefix}.{index}.{offset}"


def _torchvision_v3(path: str, model: nn.Module) -> str:
    settings = settings_v3(model)
    block, _, inside = path.partition("/")
    if block not in settings:
        return _torchvision_ends(path, len(settings), head=3)
    prefix = f"features.{list(settings).index(block) + 1}.block"
    return torchvision_block(inside, prefix, settings[block])


def _keras_v1(path: str, model: nn.Module) -> str:
    names = list(settings_v1(model))
    block, _, inside = path.partition("/")
    if block in names:
        number = names.index(block) + 1
        rules = [
            (r"depthwise", f"conv_dw_{number}"),
            (r"pointwise", f"conv_pw_{number}"),
        ]
    else:
        inside = path
        rules = [(r"^stem", "conv1"), (r"^head$", "conv_preds")]
    return rewrite(inside, [*rules, (r"/conv$", ""), (r"/norm$", "_bn")])


def _keras_v2(path: str, model: nn.Module) -> str:
    names = list(settings_v2(model))
    block, _, inside = path.partition("/")
    if block in names:
        number = names.index(block)
        prefix = f"block_{number}" if number else "expanded_conv"
        rules = [(r"^(\w+)/conv$", r"\1"), (r"^(\w+)/norm$", r"\1_BN")]
        return f"{prefix}_{rewrite(inside, rules)}"
    rules = [
        (r"^stem/conv$", "Conv1"),
        (r"^stem/norm$", "bn_Conv1"),
        (r"^last/conv$", "Conv_1"),
        (r"^last/norm$", "Conv_1_bn"),
        (r"^head$", "predictions"),
    ]
    return rewrite(path, rules)


register_key_map(MobileNetV1, KeyMap("timm", _timm_v1))
register_key_map(MobileNetV1, KeyMap("keras", _keras_v1, layout="keras"))
register_key_map(MobileNetV2, KeyMap("torchvision", _torchvision_v2))
register_key_map(MobileNetV2, KeyMap("timm", _timm_v2))
register_key_map(MobileNetV2, KeyMap("keras", _keras_v2, layout="keras"))
register_key_map(MobileNetV3, KeyMap("torchvision", _torchvision_v3))
register_key_map(MobileNetV3, KeyMap("timm", _timm_v3))
