"""What torchvision, and timm alike, call the layers of the dense networks."""

from flax import linen as nn

from jaxcnn.models.densenet import DenseNet
from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite

_RULES = [
    (r"^stem/(conv|norm)$", r"features.\g<1>0"),
    (r"^stem$", "features.conv0"),  # the CIFAR networks' has no norm
    (r"^block(\d+)/layer(\d+)/", r"features.denseblock\1.denselayer\2."),
    (r"^transition(\d+)/", r"features.transition\1."),
    (r"^norm$", "features.norm5"),
    (r"^head$", "classifier"),
]


def _torchvision(path: str, model: nn.Module) -> str:
    return rewrite(path, _RULES)


def _torchvision_files(path: str, model: nn.Module) -> str:
    return rewrite(path, [*_RULES, (r"(denselayer\d+\.(?:norm|conv))(\d)$", r"\1.\2")])


register_key_map(DenseNet, KeyMap("torchvision", _torchvision))
#: The published files are older than torchvision's names: `denselayer1.norm.1`.
register_key_map(DenseNet, KeyMap("torchvision_files", _torchvision_files))
