"""Our pre-activation networks against timm's, and its class with a stem for CIFAR."""

import pytest

from .reference import check_evaluation, randomise

STAGES = {
    "resnet18v2": ("resnetv2_18", (2, 2, 2, 2)),
    "resnet34v2": ("resnetv2_34", (3, 4, 6, 3)),
    "resnet50v2": ("resnetv2_50", (3, 4, 6, 3)),
    "resnet101v2": ("resnetv2_101", (3, 4, 23, 3)),
    "resnet152v2": ("resnetv2_152", (3, 8, 36, 3)),
}


def endpoints(name):
    blocks = {
        f"stage{stage + 1}_block{count}": f"stages.{stage}"
        for stage, count in enumerate(STAGES[name][1])
    }
    return {"stem": "stem.conv"} | blocks


def cifar(torch, timm, blocks, width, *, basic=True):
    nn, layers = torch.nn, timm.layers
    expansion = 1 if basic else 4
    model = timm.models.resnetv2.ResNetV2(
        layers=[blocks] * 3,
        channels=[expansion * width * 2**stage for stage in range(3)],
        num_classes=10,
        stem_chs=16,
        basic=basic,
        bottle_ratio=1 / expansion,
        conv_layer=layers.create_conv2d,
        norm_layer=layers.BatchNormAct2d,
    )
    model.stem = nn.Sequential()
    model.stem.add_module("conv", nn.Conv2d(3, 16, 3, padding=1, bias=False))
    return randomise(torch, model)


@pytest.mark.parity
def test_evaluation(torch, timm):
    check_evaluation(
        torch,
        "resnet50v2",
        randomise(torch, timm.create_model("resnetv2_50")),
        "timm",
        (65, 48, 3),
        endpoints=endpoints("resnet50v2"),
    )


@pytest.mark.parity
def test_small_images(torch, timm):
    check_evaluation(
        torch,
        "preact_resnet20_cifar",
        cifar(torch, timm, 3, 16),
        "timm",
        (17, 24, 3),
        endpoints={f"stage{k + 1}_block3": f"stages.{k}" for k in range(3)},
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("size", [(64, 97), (224, 224)])
def test_every_variant(name, size, torch, timm):
    check_evaluation(
        torch,
        name,
        randomise(torch, timm.create_model(STAGES[name][0])),
        "timm",
        (*size, 3),
        endpoints=endpoints(name),
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18v2", "resnet50v2"])
def test_dilated(name, output_stride, torch, timm):
    reference = timm.create_model(STAGES[name][0], output_stride=output_stride)
    check_evaluation(
        torch,
        name,
        randomise(torch, reference),
        "timm",
        (65, 48, 3),
        endpoints=endpoints(name),
        output_stride=output_stride,
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [(32, 32), (17, 24)])
@pytest.mark.parametrize(
    ("name", "blocks", "width", "basic"),
    [
        ("preact_resnet20_cifar", 3, 16, True),
        ("preact_resnet56_cifar", 9, 16, True),
        ("preact_resnet110_cifar", 18, 16, True),
        ("preact_resnet164_cifar", 18, 16, False),
        ("wide_resnet28_10", 4, 160, True),
    ],
)
def test_every_small_variant(name, blocks, width, basic, size, torch, timm):
    reference = cifar(torch, timm, blocks, width, basic=basic)
    check_evaluation(
        torch,
        name,
        reference,
        "timm",
        (*size, 3),
        endpoints={f"stage{k + 1}_block{blocks}": f"stages.{k}" for k in range(3)},
    )
