"""Inception-v3, -v4 and Inception-ResNet-v2 against torchvision's and timm's."""

import numpy as np
import pytest

from jaxcnn.registry import create_model
from jaxcnn.transfer.convert import convert_weights

from .convert import arrays
from .reference import check_evaluation, randomise, shapes_of

V3 = {
    "conv_2b": "Conv2d_2b_3x3",
    "conv_4a": "Conv2d_4a_3x3",
    "mixed_5d": "Mixed_5d",
    "mixed_6e": "Mixed_6e",
    "mixed_7c": "Mixed_7c",
}
TIMM = {
    "inception_v3": V3,
    "inception_v4": {
        "conv_2b": "features.2",
        "mixed_4a": "features.4",
        "mixed_5e": "features.9",
        "mixed_6h": "features.17",
        "mixed_7d": "features.21",
    },
    "inception_resnet_v2": {
        "conv_2b": "conv2d_2b",
        "conv_4a": "conv2d_4a",
        "block35_10": "repeat.9",
        "block17_20": "repeat_1.19",
        "conv_7b": "conv2d_7b",
    },
}
SMALL, NATIVE = (75, 107, 3), (299, 299, 3)


def build_v3(torch, torchvision, **options):
    model = torchvision.models.inception_v3(init_weights=False, **options)
    return randomise(torch, model)


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    reference = build_v3(torch, torchvision, aux_logits=False)
    check_evaluation(
        torch, "inception_v3", reference, "torchvision", SMALL, endpoints=V3
    )


@pytest.mark.parity_full
def test_evaluation_at_native_size(torch, torchvision):
    reference = build_v3(torch, torchvision, aux_logits=False)
    check_evaluation(
        torch, "inception_v3", reference, "torchvision", NATIVE, endpoints=V3
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("image", [SMALL, NATIVE])
@pytest.mark.parametrize("name", TIMM)
def test_evaluation_of_timms(name, image, torch, timm):
    reference = randomise(torch, timm.create_model(name))
    check_evaluation(torch, name, reference, "timm", image, endpoints=TIMM[name])


@pytest.mark.parity
def test_weights_with_an_auxiliary_head_fit_a_model_without(torch, torchvision):
    state = arrays(build_v3(torch, torchvision).state_dict())
    model = create_model("inception_v3")
    converted = convert_weights(model, shapes_of(model, SMALL), state, "torchvision")
    assert not converted.missing
    assert not converted.unexpected
    assert not converted.mismatched
    assert all(key.startswith("AuxLogits.") for key in converted.ignored)
    assert np.sum([state[key].size for key in converted.ignored]) > 3_000_000
