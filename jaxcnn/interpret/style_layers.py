"""Which layers hold the content and the style: their names and their weights."""

import re
from collections.abc import Mapping, Sequence

from flax import linen as nn

from jaxcnn.models.features import endpoint_paths, has_endpoints
from jaxcnn.models.squeezenet import SqueezeNet
from jaxcnn.models.vgg import VGG

Layers = Mapping[str, float] | Sequence[str]

_COURSE_NAME = re.compile(r"(?:relu(\d)_(\d)|block(\d)_conv(\d))")


def layer_path(model: nn.Module, name: str) -> str:
    """Returns the path of a layer by the name that courses and papers give it.

    VGG's own paths are the usual names: `conv4_2` is the second convolution of the
    fourth stage, behind its ReLU, as Gatys et al.'s features are; `relu4_2` and
    Keras's `block4_conv2` are other names of the same. What the ReLU gets is
    `conv4_2/conv`. In other networks a name is the path of a submodule.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> layer_path(create_model("vgg19"), "block4_conv2")
        'conv4_2'
    """
    match = _COURSE_NAME.fullmatch(name) if isinstance(model, VGG) else None
    return "conv{}_{}".format(*filter(None, match.groups())) if match else name


def default_content_layers(model: nn.Module) -> dict[str, float]:
    """Returns the layers of the content and their weights, by path.

    VGG: `conv4_2` (Gatys et al. 2016, section 3). SqueezeNet: `fire3`. Others: the
    endpoint in the middle.

    Raises:
        ValueError: if the model is of no family with endpoints.
    """
    if isinstance(model, VGG):
        return {"conv4_2" if model.stage_sizes[3] > 1 else "conv4_1": 1.0}
    if isinstance(model, SqueezeNet):
        return {"fire3": 1.0}
    paths = _endpoints(model, "content_layers")
    return {paths[len(paths) // 2]: 1.0}


def default_style_layers(model: nn.Module) -> dict[str, float]:
    """Returns the layers of the style and their weights, by path; they add up to 1.

    VGG: `conv1_1`, `conv2_1`, `conv3_1`, `conv4_1` and `conv5_1`, alike (Gatys et al.
    2016, section 3). SqueezeNet: `conv1` and the fire modules up to `fire8`, alike.
    Others: all endpoints, alike.

    Raises:
        ValueError: if the model is of no family with endpoints.
    """
    if isinstance(model, VGG):
        paths = [f"conv{stage}_1" for stage in range(1, len(model.stage_sizes) + 1)]
    elif isinstance(model, SqueezeNet):
        paths = ["conv1", *(f"fire{n}" for n in range(2, 9))]
    else:
        paths = _endpoints(model, "style_layers")
    return {path: 1 / len(paths) for path in paths}


def layer_weights(model: nn.Module, name: str, layers: Layers) -> dict[str, float]:
    """Returns weights by path for layers under any of their names.

    Args:
        model: The model.
        name: What to call the argument in messages.
        layers: Weights by name, or names: these then share the weight 1.

    Raises:
        ValueError: if there is none, one comes twice, or a weight is not a number
            above 0.
    """
    if isinstance(layers, str) or not layers:
        raise ValueError(
            f"{name} must be names of layers, or weights by name, got {layers!r}."
        )
    if not isinstance(layers, Mapping):
        layers = {layer: 1 / len(layers) for layer in layers}
    found: dict[str, float] = {}
    for layer, weight in layers.items():
        path = layer_path(model, layer)
        if path in found:
            raise ValueError(f"{name} names the layer {path!r} twice: {list(layers)}.")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError(f"{name}: the weight of {layer!r} is {weight!r}.")
        if not 0 < weight < float("inf"):
            raise ValueError(
                f"{name}: the weight of {layer!r} must be above 0, got {weight!r}; "
                "leave out what is not to count."
            )
        found[path] = float(weight)
    return found


def _endpoints(model: nn.Module, name: str) -> list[str]:
    if not has_endpoints(model):
        raise ValueError(
            f"{type(model).__name__} has no usual layers for style transfer: give "
            f"{name}=, paths of submodules whose outputs are maps."
        )
    return endpoint_paths(model)
