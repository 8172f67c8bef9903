"""EfficientNet against torchvision's, timm's and Keras's, same weights."""

import pytest

from .reference import (
    check_evaluation,
    check_keras_evaluation,
    randomise,
    randomise_keras,
)

SMALL = (32, 40, 3)
SIZES = dict(enumerate((224, 240, 288, 300, 380, 456, 528, 600)))
#: Blocks of the third stage, whose last one is compared.
THIRD = dict(enumerate((2, 3, 3, 3, 4, 5, 6, 7)))
OPTIONS = {"dropout": 0.0, "drop_path": 0.0}
TENSORFLOW = {"padding": "tensorflow", "epsilon": 1e-3}


def torchvision_evaluation(torch, torchvision, number, size):
    name = f"efficientnet_b{number}"
    reference = getattr(torchvision.models, name)(
        weights=None, dropout=0.0, stochastic_depth_prob=0.0
    )
    last = THIRD[number]
    endpoints = {
        f"stage3_block{last}": f"features.3.{last - 1}",
        "last": "features.8",
    }
    check_evaluation(
        torch,
        name,
        randomise(torch, reference),
        "torchvision",
        size,
        endpoints=endpoints,
        **OPTIONS,
    )


def timm_evaluation(torch, timm, prefix, number, size, **options):
    name = f"efficientnet_b{number}"
    reference = randomise(torch, timm.create_model(f"{prefix}{name}"))
    last = THIRD[number]
    endpoints = {f"stage3_block{last}": f"blocks.2.{last - 1}"}
    check_evaluation(
        torch,
        name,
        reference,
        "timm",
        size,
        endpoints=endpoints,
        **OPTIONS,
        **options,
    )


def keras_evaluation(keras, number, size):
    """Sets Keras's normalisation of pixels so that it undoes the division by 255."""
    keras.utils.clear_session()
    build = getattr(keras.applications, f"EfficientNetB{number}")
    reference = build(weights=None, input_shape=size, classifier_activation=None)
    randomise_keras(reference)
    pixels = reference.get_layer("normalization")
    pixels.adapt_variance.assign([255.0**-2] * 3)
    pixels.finalize_state()  # the layer computes with a copy
    third = f"block3{'abcdefgh'[THIRD[number] - 1]}_"
    check_keras_evaluation(
        keras,
        f"efficientnet_b{number}",
        reference,
        size,
        endpoints={f"stage3_block{THIRD[number]}": f"{third}add"},
        **TENSORFLOW,
        **OPTIONS,
    )


@pytest.mark.parity
def test_b0_gives_torchvisions_logits(torch, torchvision):
    torchvision_evaluation(torch, torchvision, 0, SMALL)


@pytest.mark.parity_full
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("number", SIZES)
def test_every_variant_gives_torchvisions_logits(number, native, torch, torchvision):
    size = (SIZES[number],) * 2 + (3,) if native else SMALL
    torchvision_evaluation(torch, torchvision, number, size)


@pytest.mark.parity_full
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("number", SIZES)
def test_every_variant_gives_timms_logits(number, native, torch, timm):
    size = (SIZES[number],) * 2 + (3,) if native else SMALL
    timm_evaluation(torch, timm, "", number, size, epsilon=1e-5)


@pytest.mark.parity_full
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("number", SIZES)
def test_every_variant_gives_the_logits_of_timms_copies(number, native, torch, timm):
    """With TensorFlow's padding and epsilon."""
    size = (SIZES[number],) * 2 + (3,) if native else (45, 40, 3)
    timm_evaluation(torch, timm, "tf_", number, size, **TENSORFLOW)


@pytest.mark.parity_full
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("number", SIZES)
def test_every_variant_gives_keras_logits(number, native, keras):
    size = (SIZES[number],) * 2 + (3,) if native else (45, 40, 3)
    keras_evaluation(keras, number, size)
