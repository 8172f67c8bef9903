"""Our residual networks against torchvision's, timm's, and published weights."""

import pytest

from .reference import check_evaluation, check_training, randomise

STAGES = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
    "resnext50_32x4d": (3, 4, 6, 3),
    "resnext101_32x8d": (3, 4, 23, 3),
    "wide_resnet50_2": (3, 4, 6, 3),
}


def endpoints(name):
    blocks = {
        f"stage{stage}_block{count}": f"layer{stage}"
        for stage, count in enumerate(STAGES[name], 1)
    }
    return {"stem": "relu"} | blocks


def build(torch, torchvision, name, **options):
    """Returns torchvision's network with random weights, norms and statistics."""
    model = getattr(torchvision.models, name)(weights=None, **options)
    # One ReLU in two places cannot be hooked: the stem gets its own.
    model.relu = torch.nn.ReLU()
    return randomise(torch, model)


def resnext29(torch, torchvision):
    """Returns torchvision's network with CIFAR's stem and without its last stage."""
    nn, resnet = torch.nn, torchvision.models.resnet
    model = resnet.ResNet(
        resnet.Bottleneck, [3, 3, 3, 1], groups=32, width_per_group=4, num_classes=10
    )
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = model.layer4 = nn.Identity()
    model.fc = nn.Linear(1024, 10)
    return randomise(torch, model)


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    reference = build(torch, torchvision, "resnet18")
    check_evaluation(
        torch,
        "resnet18",
        reference,
        "torchvision",
        (65, 48, 3),
        endpoints=endpoints("resnet18"),
    )


@pytest.mark.parity
def test_training(torch, torchvision, monkeypatch):
    reference = build(torch, torchvision, "resnet18", num_classes=10)
    check_training(
        torch,
        "resnet18",
        reference,
        "torchvision",
        (64, 48, 3),
        monkeypatch=monkeypatch,
        num_classes=10,
    )


@pytest.mark.parity
def test_dilated_bottlenecks_with_groups(torch, torchvision):
    """The first block of a dilated stage has the dilation of the stage before."""
    reference = build(
        torch,
        torchvision,
        "resnext50_32x4d",
        replace_stride_with_dilation=[False, True, True],
    )
    check_evaluation(
        torch,
        "resnext50_32x4d",
        reference,
        "torchvision",
        (40, 33, 3),
        endpoints=endpoints("resnext50_32x4d"),
        output_stride=8,
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("size", [(64, 97), (224, 224)])
def test_every_variant(name, size, torch, torchvision):
    reference = build(torch, torchvision, name)
    check_evaluation(
        torch,
        name,
        reference,
        "torchvision",
        (*size, 3),
        endpoints=endpoints(name),
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_basic_blocks(output_stride, torch, timm):
    """timm dilates them, torchvision does not; it has torchvision's names."""
    reference = timm.create_model("resnet18", output_stride=output_stride)
    stages = {ours: theirs for ours, theirs in endpoints("resnet18").items()}
    check_evaluation(
        torch,
        "resnet18",
        randomise(torch, reference),
        "torchvision",
        (65, 48, 3),
        endpoints=stages | {"stem": "act1"},
        output_stride=output_stride,
    )


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [(32, 32), (17, 24)])
def test_resnext29(size, torch, torchvision):
    check_evaluation(
        torch,
        "resnext29_32x4d_cifar",
        resnext29(torch, torchvision),
        "torchvision",
        (*size, 3),
        endpoints={f"stage{k}_block3": f"layer{k}" for k in (1, 2, 3)},
    )
