"""The MobileNets against torchvision's, timm's and Keras's, same weights."""

import pytest

from jaxcnn.registry import create_model

from .reference import (
    check_evaluation,
    check_keras_evaluation,
    check_training,
    randomise,
    randomise_keras,
)

SMALL = (32, 40, 3)
#: What timm and Keras build with, where it is not our default.
TENSORFLOW = {"padding": "tensorflow", "epsilon": 1e-3}
TORCHVISION = {
    "mobilenet_v2": {"stage1_block1": "features.1", "last": "features.18"},
    "mobilenet_v3_small": {"stage3_block3": "features.6", "last": "features.12"},
    "mobilenet_v3_large": {"stage4_block4": "features.10", "last": "features.16"},
}
TIMM = [
    ("mobilenet_v1", "mobilenetv1_100", {}),
    ("mobilenet_v1", "mobilenetv1_125", {"width": 1.25}),
    ("mobilenet_v2", "mobilenetv2_050", {"width": 0.5}),
    ("mobilenet_v2", "mobilenetv2_100", {}),
    ("mobilenet_v2", "mobilenetv2_140", {"width": 1.4}),
    ("mobilenet_v3_large", "mobilenetv3_large_100", {"epsilon": 1e-5}),
    ("mobilenet_v3_small", "mobilenetv3_small_100", {"epsilon": 1e-5}),
    ("mobilenet_v3_large", "tf_mobilenetv3_large_100", TENSORFLOW),
    ("mobilenet_v3_small", "tf_mobilenetv3_small_100", TENSORFLOW),
]
KERAS = [
    ("mobilenet_v1_0_25", "MobileNet", {"alpha": 0.25}),
    ("mobilenet_v1_0_5", "MobileNet", {"alpha": 0.5}),
    ("mobilenet_v1_0_75", "MobileNet", {"alpha": 0.75}),
    ("mobilenet_v1", "MobileNet", {}),
    ("mobilenet_v2", "MobileNetV2", {}),
]


def torchvision_evaluation(torch, torchvision, name, size):
    reference = getattr(torchvision.models, name)(weights=None, dropout=0.0)
    reference = randomise(torch, reference)
    endpoints = TORCHVISION[name]
    check_evaluation(
        torch, name, reference, "torchvision", size, endpoints=endpoints, dropout=0.0
    )


def timm_evaluation(torch, timm, name, theirs, options, size):
    reference = randomise(torch, timm.create_model(theirs))
    endpoints = {"stage3_block2": "blocks.2.1"}
    check_evaluation(
        torch, name, reference, "timm", size, endpoints=endpoints, **options
    )


def keras_evaluation(keras, name, theirs, options, size):
    keras.utils.clear_session()
    reference = getattr(keras.applications, theirs)(
        weights=None, input_shape=size, classifier_activation=None, **options
    )
    endpoint = "block_1_project_BN" if theirs == "MobileNetV2" else "conv_pw_3_relu"
    ours = "stage2_block1" if theirs == "MobileNetV2" else "stage2_block2"
    check_keras_evaluation(
        keras,
        name,
        randomise_keras(reference),
        size,
        endpoints={ours: endpoint},
        **TENSORFLOW,
    )


@pytest.mark.parity
def test_mobilenet_v1_gives_keras_logits(keras):
    """At an odd height, where Keras pads otherwise than its SAME does."""
    keras_evaluation(keras, *KERAS[0], (45, 32, 3))


def mobilenet_v2_training(torch, torchvision, monkeypatch, stages):
    reference = torchvision.models.MobileNetV2(
        num_classes=10, inverted_residual_setting=stages, dropout=0.0
    )
    check_training(
        torch,
        "mobilenet_v2",
        randomise(torch, reference),
        "torchvision",
        SMALL,
        monkeypatch=monkeypatch,
        dropout=0.0,
        num_classes=10,
        stages=stages,
    )


@pytest.mark.parity
def test_a_short_mobilenet_v2_trains_as_torchvisions(torch, torchvision, monkeypatch):
    """Every kind of block: without expansion, with stride, with the input added."""
    stages = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2]]
    mobilenet_v2_training(torch, torchvision, monkeypatch, stages)


@pytest.mark.parity_full
def test_mobilenet_v2_trains_as_torchvisions(torch, torchvision, monkeypatch):
    stages = [list(row) for row in create_model("mobilenet_v2").stages]
    mobilenet_v2_training(torch, torchvision, monkeypatch, stages)


@pytest.mark.parity
def test_mobilenet_v3_gives_torchvisions_logits(torch, torchvision):
    torchvision_evaluation(torch, torchvision, "mobilenet_v3_small", SMALL)


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [SMALL, (224, 224, 3)])
@pytest.mark.parametrize("name", TORCHVISION)
def test_every_variant_gives_torchvisions_logits(name, size, torch, torchvision):
    torchvision_evaluation(torch, torchvision, name, size)


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [SMALL, (224, 224, 3)])
@pytest.mark.parametrize(("name", "theirs", "options"), TIMM)
def test_every_variant_gives_timms_logits(name, theirs, options, size, torch, timm):
    timm_evaluation(torch, timm, name, theirs, options, size)


@pytest.mark.parity_full
@pytest.mark.parametrize("size", [(61, 45, 3), (224, 224, 3)])
@pytest.mark.parametrize(("name", "theirs", "options"), KERAS)
def test_every_variant_gives_keras_logits(name, theirs, options, size, keras):
    keras_evaluation(keras, name, theirs, options, size)
