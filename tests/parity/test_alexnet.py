"""AlexNet against torchvision's."""

import pytest

from .reference import check_evaluation, randomise

ENDPOINTS = {"conv1": "features.1", "conv2": "features.4", "conv5": "features.11"}


def check(torch, torchvision, image):
    model = randomise(torch, torchvision.models.alexnet())
    check_evaluation(torch, "alexnet", model, "torchvision", image, endpoints=ENDPOINTS)


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    check(torch, torchvision, (63, 95, 3))


@pytest.mark.parity_full
def test_evaluation_at_native_size(torch, torchvision):
    check(torch, torchvision, (224, 224, 3))
