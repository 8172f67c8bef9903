"""What torchvision calls the layers of GoogLeNet."""

from jaxcnn.models.googlenet import GoogLeNet
from jaxcnn.models.key_map import KeyMap, register_key_map, rewrite

_RULES = [
    (r"/branch1x1/", "/branch1/"),
    (r"/branch3x3_1/", "/branch2/0/"),
    (r"/branch3x3_2/", "/branch2/1/"),
    (r"/branch5x5_1/", "/branch3/0/"),
    (r"/branch5x5_2/", "/branch3/1/"),
    (r"/branch_pool/", "/branch4/1/"),
    (r"^(aux\d)/hidden$", r"\1/fc1"),
    (r"^(aux\d)/head$", r"\1/fc2"),
    (r"^head$", "fc"),
    (r"/norm$", "/bn"),
    (r"/", "."),
]


def _torchvision(path: str, model: GoogLeNet) -> str:
    return rewrite(path, _RULES)


_FLATTENS = {"aux1/hidden": (128, 4, 4), "aux2/hidden": (128, 4, 4)}

register_key_map(
    GoogLeNet,
    KeyMap("torchvision", _torchvision, flattens=_FLATTENS, ignored=r"aux\d\."),
)
