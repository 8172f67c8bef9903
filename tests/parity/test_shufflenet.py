"""ShuffleNet v2 against torchvision's, same weights."""

import pytest

from .reference import check_evaluation, randomise

SMALL = (32, 40, 3)
NAMES = [f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")]


def evaluation(torch, torchvision, name, size):
    reference = randomise(torch, getattr(torchvision.models, name)(weights=None))
    endpoints = {
        "stem": "conv1",
        "stage1_block4": "stage2",
        "stage2_block8": "stage3",
        "last": "conv5",
    }
    check_evaluation(torch, name, reference, "torchvision", size, endpoints=endpoints)


@pytest.mark.parity
def test_shufflenet_v2_gives_torchvisions_logits(torch, torchvision):
    evaluation(torch, torchvision, NAMES[0], SMALL)


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [SMALL, (224, 224, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_gives_torchvisions_logits(name, size, torch, torchvision):
    evaluation(torch, torchvision, name, size)
