"""Small models written with `torch.nn`, layer for layer those of the library."""

import itertools
from typing import Any


def lenet(torch: Any) -> Any:
    """Returns the twin of `jaxcnn`'s `lenet`."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 10, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(10, 20, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(320, 10),
    )


def lenet5(torch: Any) -> Any:
    """Returns LeNet-5 with ReLU and max pools, as `jaxcnn`'s `lenet5`."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def inception_small(torch: Any) -> Any:
    """Returns the twin of `jaxcnn`'s `inception_small`."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.branch1x1 = nn.Conv2d(channels, 16, 1)
            self.branch5x5_1 = nn.Conv2d(channels, 16, 1)
            self.branch5x5_2 = nn.Conv2d(16, 24, 5, padding=2)
            self.branch3x3_1 = nn.Conv2d(channels, 16, 1)
            self.branch3x3_2 = nn.Conv2d(16, 24, 3, padding=1)
            self.branch3x3_3 = nn.Conv2d(24, 24, 3, padding=1)
            self.pool = nn.AvgPool2d(3, stride=1, padding=1)
            self.branch_pool = nn.Conv2d(channels, 24, 1)

        def forward(self, x):
            branches = [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                self.branch3x3_3(self.branch3x3_2(self.branch3x3_1(x))),
                self.branch_pool(self.pool(x)),
            ]
            return torch.cat(branches, dim=1)

    return nn.Sequential(
        nn.Conv2d(1, 10, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Block(10),
        nn.Conv2d(88, 20, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Block(20),
        nn.Flatten(),
        nn.Linear(1408, 10),
    )


def conv_autoencoder(torch: Any) -> Any:
    """Returns the twin of `jaxcnn`'s `conv_autoencoder` without its sigmoid."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 32),
        nn.Linear(32, 1568),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1),
    )


def resnet20_cifar(torch: Any) -> Any:
    """Returns the twin of `jaxcnn`'s `resnet20_cifar`: shortcuts of option A."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, channels, features):
            super().__init__()
            self.stride = features // channels
            self.conv1 = nn.Conv2d(
                channels, features, 3, self.stride, padding=1, bias=False
            )
            self.bn1 = nn.BatchNorm2d(features)
            self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(features)
            self.extra = (features - channels) // 2

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.extra:
                x = x[:, :, :: self.stride, :: self.stride]
                x = nn.functional.pad(x, (0, 0, 0, 0, self.extra, self.extra))
            return torch.relu(x + y)

    widths = [16, *[16] * 3, *[32] * 3, *[64] * 3]
    blocks = [Block(*pair) for pair in itertools.pairwise(widths)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def import_torchvision() -> tuple[Any, Any, Any]:
    """Returns torch, torchvision and what has to live as long as they do.

    A torchvision built for CUDA beside a torch that is not cannot load its operators,
    and its import fails unless somebody has declared these two.
    """
    import contextlib
    import warnings

    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # it has its own operators
            library.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchvision
    return torch, torchvision, library


def make_torch_model(name: str, where: str) -> Any:
    """Returns PyTorch's model for a row.

    Args:
        name: The model's name here.
        where: `Row.torch`.
    """
    if where == "here":
        import torch

        return globals()[name](torch)
    _, torchvision, library = import_torchvision()
    KEPT.append(library)
    if where == "torchvision":
        options = {"aux_logits": False} if name == "inception_v3" else {}
        if name in ("inception_v3", "googlenet"):
            options["init_weights"] = False
        return getattr(torchvision.models, name)(weights=None, **options)
    import timm

    return timm.create_model(where.removeprefix("timm:"))


#: Declarations of operators, which go when their library object does.
KEPT: list[Any] = []
