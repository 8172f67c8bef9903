"""Xception against timm's and Keras's, which pad and normalise differently."""

import pytest

from .reference import (
    check_evaluation,
    check_keras_evaluation,
    randomise,
    randomise_keras,
)

TIMM = {
    "conv2": "act2",
    "block1": "block1",
    "block2": "block2",
    "block11": "block11",
    "conv4": "act4",
}
KERAS = {
    "conv2": "block1_conv2_act",
    "block1": "add",
    "block2": "add_1",
    "block11": "add_10",
    "conv4": "block14_sepconv2_act",
}
SIZES = [(72, 107, 3), (299, 299, 3)]


def check_timm(torch, timm, image):
    reference = randomise(torch, timm.create_model("legacy_xception"))
    check_evaluation(torch, "xception", reference, "timm", image, endpoints=TIMM)


def check_keras(keras, image):
    keras.utils.clear_session()
    reference = keras.applications.Xception(
        weights=None, input_shape=image, classifier_activation=None
    )
    check_keras_evaluation(
        keras,
        "xception",
        randomise_keras(reference),
        image,
        endpoints=KERAS,
        padding="tensorflow",
        epsilon=1e-3,
    )


@pytest.mark.parity
def test_evaluation(torch, timm):
    check_timm(torch, timm, SIZES[0])


@pytest.mark.parity
def test_evaluation_of_kerass(keras):
    """Maps of even sides on the way, where the two paddings differ."""
    check_keras(keras, SIZES[0])


@pytest.mark.parity_full
def test_evaluation_at_native_size(torch, timm):
    check_timm(torch, timm, SIZES[1])


@pytest.mark.parity_full
def test_evaluation_of_kerass_at_native_size(keras):
    check_keras(keras, SIZES[1])
