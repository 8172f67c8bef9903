"""GoogLeNet against torchvision's."""

import pytest

from .reference import check_evaluation, check_training, randomise

ENDPOINTS = {
    path: path
    for path in ("conv1", "conv3", "inception3b", "inception4e", "inception5b")
}


def build(torch, torchvision, **options):
    model = torchvision.models.googlenet(init_weights=False, dropout=0, **options)
    return randomise(torch, model)


def check(torch, torchvision, image):
    reference = build(torch, torchvision, aux_logits=False)
    check_evaluation(
        torch, "googlenet", reference, "torchvision", image, endpoints=ENDPOINTS
    )


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    check(torch, torchvision, (47, 64, 3))


@pytest.mark.parity_full
def test_evaluation_at_native_size(torch, torchvision):
    check(torch, torchvision, (224, 224, 3))


def weighted(outputs):
    """Returns the sum of all logits that the paper's loss would see."""
    if isinstance(outputs, dict):
        return outputs["logits"] + 0.3 * (outputs["aux"][0] + outputs["aux"][1])
    return outputs.logits + 0.3 * (outputs.aux_logits1 + outputs.aux_logits2)


@pytest.mark.parity_full
def test_training_with_auxiliary_heads(torch, torchvision, monkeypatch):
    """One sum of the logits of all heads: each gets a gradient."""
    reference = build(torch, torchvision, dropout_aux=0)
    check_training(
        torch,
        "googlenet",
        reference,
        "torchvision",
        (32, 48, 3),
        monkeypatch=monkeypatch,
        logits_of=weighted,
        aux_heads=True,
        dropout=0,
        aux_dropout=0,
    )
