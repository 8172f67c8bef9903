"""What torchvision calls the layers of AlexNet."""

from flax import linen as nn

from jaxcnn.models.alexnet import AlexNet
from jaxcnn.models.key_map import KeyMap, register_key_map

_NAMES = {
    "conv1/conv": "features.0",
    "conv2/conv": "features.3",
    "conv3/conv": "features.6",
    "conv4/conv": "features.8",
    "conv5/conv": "features.10",
    "hidden1": "classifier.1",
    "hidden2": "classifier.4",
    "head": "classifier.6",
}


def _torchvision(path: str, model: nn.Module) -> str:
    return _NAMES[path]


register_key_map(
    AlexNet, KeyMap("torchvision", _torchvision, flattens={"hidden1": (256, 6, 6)})
)
