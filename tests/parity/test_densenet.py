"""Our dense networks against torchvision's, and its class with a stem for CIFAR."""

import re

import jax
import numpy as np
import pytest

from jaxcnn.registry import create_model
from jaxcnn.transfer.convert import recognise_source

from .convert import arrays
from .reference import (
    check_evaluation,
    check_training,
    randomise,
    shapes_of,
    variables_of,
)

NAMES = ["densenet121", "densenet161", "densenet169", "densenet201"]
ENDPOINTS = {"stem": "features.relu0"} | {
    f"block{k}": f"features.denseblock{k}" for k in (1, 2, 3, 4)
}


def build(torch, torchvision, name, **options):
    model = getattr(torchvision.models, name)(weights=None, **options)
    return randomise(torch, model)


def cifar(torch, torchvision, layers, growth_rate):
    """Returns DenseNet-BC: torchvision's, with a 3x3 convolution alone as the stem."""
    nn, first = torch.nn, 2 * growth_rate
    model = torchvision.models.DenseNet(
        growth_rate, (layers,) * 3, first, num_classes=10
    )
    model.features.conv0 = nn.Conv2d(3, first, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(model.features, name, nn.Identity())
    return randomise(torch, model)


def densenet40(torch):
    """Returns the paper's network without bottlenecks and compression, by hand."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm = nn.BatchNorm2d(channels)
            self.conv = nn.Conv2d(channels, 12, 3, padding=1, bias=False)

        def forward(self, x):
            return torch.cat([x, self.conv(self.norm(x).relu())], 1)

    class Transition(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm = nn.BatchNorm2d(channels)
            self.conv = nn.Conv2d(channels, channels, 1, bias=False)

        def forward(self, x):
            return nn.functional.avg_pool2d(self.conv(self.norm(x).relu()), 2)

    features = nn.Sequential()
    features.add_module("conv0", nn.Conv2d(3, 16, 3, padding=1, bias=False))
    channels = 16
    for block in (1, 2, 3):
        layers = nn.Sequential()
        for layer in range(12):
            layers.add_module(f"denselayer{layer + 1}", Layer(channels))
            channels += 12
        features.add_module(f"denseblock{block}", layers)
        if block < 3:
            features.add_module(f"transition{block}", Transition(channels))
    features.add_module("norm5", nn.BatchNorm2d(channels))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = features
            self.classifier = nn.Linear(channels, 10)

        def forward(self, x):
            return self.classifier(self.features(x).relu().mean((2, 3)))

    return randomise(torch, Net())


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    reference = build(torch, torchvision, "densenet121")
    check_evaluation(
        torch,
        "densenet121",
        reference,
        "torchvision",
        (33, 48, 3),
        endpoints=ENDPOINTS,
    )


@pytest.mark.parity_full
def test_training(torch, torchvision, monkeypatch):
    reference = build(torch, torchvision, "densenet121", num_classes=10)
    check_training(
        torch,
        "densenet121",
        reference,
        "torchvision",
        (64, 32, 3),
        monkeypatch=monkeypatch,
        num_classes=10,
    )


@pytest.mark.parity
def test_without_bottlenecks(torch):
    check_evaluation(
        torch,
        "densenet40_cifar",
        densenet40(torch),
        "torchvision",
        (9, 16, 3),
        endpoints={f"block{k}": f"features.denseblock{k}" for k in (1, 2, 3)},
    )


@pytest.mark.parity
def test_the_names_of_published_files(torch, torchvision):
    """torchvision's loader renames what its own pattern finds; we take both names."""
    new = arrays(torchvision.models.densenet121(weights=None).state_dict())
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in new.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    model, image = create_model("densenet121"), (32, 32, 3)
    shapes = shapes_of(model, image)
    assert recognise_source(model, shapes, new) == "torchvision"
    assert recognise_source(model, shapes, old) == "torchvision_files"
    got = variables_of(model, image, old, "torchvision_files")
    expected = variables_of(model, image, new, "torchvision")
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parity_full
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 97), (224, 224)])
def test_every_variant(name, size, torch, torchvision):
    reference = build(torch, torchvision, name)
    check_evaluation(
        torch, name, reference, "torchvision", (*size, 3), endpoints=ENDPOINTS
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [(32, 32), (17, 24)])
@pytest.mark.parametrize(
    ("name", "layers", "growth_rate"),
    [
        ("densenet_bc_40_cifar", 6, 12),
        ("densenet_bc_100_cifar", 16, 12),
        ("densenet_bc_190_cifar", 31, 40),
    ],
)
def test_every_small_variant(name, layers, growth_rate, size, torch, torchvision):
    check_evaluation(
        torch,
        name,
        cifar(torch, torchvision, layers, growth_rate),
        "torchvision",
        (*size, 3),
        endpoints={f"block{k}": f"features.denseblock{k}" for k in (1, 2, 3)},
    )


@pytest.mark.parity_full
def test_timm_has_the_same_names(torch, timm):
    reference = randomise(torch, timm.create_model("densenet121"))
    check_evaluation(torch, "densenet121", reference, "torchvision", (33, 48, 3))
