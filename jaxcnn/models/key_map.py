"""What a reference implementation calls the layers of a family.

A family's maps are in `jaxcnn/models/keys/`, one file a family. They are data and pure
functions of names; `jaxcnn.transfer.convert` applies them to arrays.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax import linen as nn

Replacement = str | Callable[[re.Match[str]], str]

_KEY_MAPS: dict[type[nn.Module], dict[str, "KeyMap"]] = {}


def _no_options(model: nn.Module) -> dict[str, Any]:
    return {}


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """How one reference names and lays out the weights of one family.

    Attributes:
        source: Who: `"torchvision"`, `"timm"`, `"keras"`, `"caffe"`, ...
        rename: The reference's name of a layer, from our path of it and the model:
            `"stage1_block1/reduce/conv"` to `"layer1.0.conv1"`.
        layout: `"torch"`: kernels `[out, in, *spatial]`, leaves `weight`, `bias`,
            `running_mean`, `running_var`. `"keras"`: kernels as ours, leaves `kernel`,
            `bias`, `gamma`, `beta`, `moving_mean`, `moving_variance`, a depthwise
            kernel `[*spatial, channels, multiplier]`. `"caffe"`: kernels as ours,
            leaves `w` and `b`.
        flattens: Our path of each dense layer behind a flattened map to that map's
            `(channels, *spatial)`: PyTorch flattens channels first.
        options: Options of ours that the reference's own model has otherwise than our
            defaults, from the model; `load_model` sets them unless told others.
        ignored: What the reference holds beside the weights of the model, such as
            auxiliary heads: a regular expression over its keys, matched from the
            beginning.
    """

    source: str
    rename: Callable[[str, nn.Module], str]
    layout: str = "torch"
    flattens: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    ignored: str | None = None
    options: Callable[[nn.Module], Mapping[str, Any]] = _no_options


def rewrite(path: str, rules: Sequence[tuple[str, Replacement]]) -> str:
    """Returns `path` after each rule in turn, as `re.sub` applies it.

    Example:
        >>> rules = [(r"^stem/", "conv1."), (r"/", ".")]
        >>> rewrite("stem/conv/kernel", rules)
        'conv1.conv.kernel'
    """
    for pattern, replacement in rules:
        path = re.sub(pattern, replacement, path)
    return path


def register_key_map(module: type[nn.Module], key_map: KeyMap) -> KeyMap:
    """Registers a map for models of a class, under its source; returns the map."""
    _KEY_MAPS.setdefault(module, {})[key_map.source] = key_map
    return key_map


def key_maps(model: nn.Module) -> dict[str, KeyMap]:
    """Returns the maps of a model's family by source; empty if it has none."""
    found: dict[str, KeyMap] = {}
    for cls in reversed(type(model).__mro__):
        found |= _KEY_MAPS.get(cls, {})
    return found
