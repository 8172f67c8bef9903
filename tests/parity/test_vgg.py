"""VGG networks against torchvision's, timm's and Keras's."""

import itertools

import pytest

from jaxcnn.registry import create_model, list_models

from .reference import (
    check_evaluation,
    check_keras_evaluation,
    check_training,
    randomise,
)

NAMES = list_models("vgg*")


def endpoints_of(name):
    """Returns the last convolution of each stage and the activation behind it."""
    model = create_model(name)
    layers = 3 if model.norm else 2
    ends = itertools.accumulate(size * layers + 1 for size in model.stage_sizes)
    return {
        f"conv{stage}_{size}": f"features.{end - 2}"
        for stage, (size, end) in enumerate(
            zip(model.stage_sizes, ends, strict=True), 1
        )
    }


def check(torch, reference, source, name, image):
    check_evaluation(
        torch,
        name,
        randomise(torch, reference),
        source,
        image,
        endpoints=endpoints_of(name),
    )


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    reference = torchvision.models.vgg11_bn()
    check(torch, reference, "torchvision", "vgg11_bn", (32, 64, 3))


@pytest.mark.parity
def test_training(torch, torchvision, monkeypatch):
    """With small dense layers, which otherwise take all the time."""
    nn = torch.nn
    reference = torchvision.models.vgg11_bn()
    reference.classifier = nn.Sequential(
        *(nn.Linear(512 * 7 * 7, 32), nn.ReLU(), nn.Identity()),
        *(nn.Linear(32, 32), nn.ReLU(), nn.Identity()),
        nn.Linear(32, 10),
    )
    check_training(
        torch,
        "vgg11_bn",
        randomise(torch, reference),
        "torchvision",
        (32, 48, 3),
        monkeypatch=monkeypatch,
        hidden=32,
        num_classes=10,
        dropout=0,
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("image", [(64, 96, 3), (224, 224, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_evaluation_of_every_variant(name, image, torch, torchvision):
    reference = getattr(torchvision.models, name)()
    check(torch, reference, "torchvision", name, image)


@pytest.mark.parity_full
@pytest.mark.parametrize("name", ["vgg11_bn", "vgg16"])
def test_evaluation_of_timms(name, torch, timm):
    """Up to 224x224: beyond, timm's dense layers slide over the map."""
    check(torch, timm.create_model(name), "timm", name, (64, 96, 3))


@pytest.mark.parity_full
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_evaluation_of_kerass(name, keras):
    keras.utils.clear_session()
    make = getattr(keras.applications, name.upper())
    reference = make(weights=None, classifier_activation=None)
    convs = {"conv1_1": "block1_conv1", "conv3_3": "block3_conv3"}
    check_keras_evaluation(keras, name, reference, (224, 224, 3), endpoints=convs)
