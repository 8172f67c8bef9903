"""What torchvision and the Caffe weights call the layers of SqueezeNet."""

import re

from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite
from jaxcnn.models.squeezenet import SqueezeNet


def _torchvision(path: str, model: SqueezeNet) -> str:
    match = re.match(r"^fire(\d+)/(\w+)/conv$", path)
    if not match:
        return {"conv1/conv": "features.0", "head": "classifier.1"}[path]
    number = int(match[1])
    pools = sum(pool < number for pool in model.pools)
    # `conv1` and its activation have numbers 0 and 1; pools are counted as well.
    return f"features.{number + pools}.{match[2]}"


def _caffe(path: str, model: SqueezeNet) -> str:
    """Names of `squeezenet1_0-imagenet.npz`, whose kernels are laid out as ours."""
    rules = [
        (r"/squeeze/conv$", "/conv1x1_1"),
        (r"/expand(\dx\d)/conv$", r"/conv\1_2"),
        (r"^conv1/conv$", "conv1"),
        (r"^head$", "conv_final"),
    ]
    return rewrite(path, rules)


def _caffe_options(model: SqueezeNet) -> dict[str, int]:
    """Version 1.0 pads the map before its head; 1.1, whose stem is smaller, does not.

    https://github.com/forresti/SqueezeNet, `conv10` of both `deploy.prototxt`.
    """
    return {"head_padding": 1} if model.kernel_size == 7 else {}


register_key_map(SqueezeNet, KeyMap("torchvision", _torchvision))
register_key_map(
    SqueezeNet,
    KeyMap("caffe", _caffe, layout="caffe", options=_caffe_options),
)
