"""LeNet, LeNet-5 and the small Inception: sizes inside, options, messages."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import cnn, inception_small, lenet, lenet5, mlp
from jaxcnn.tree import flatten_named


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def shapes_of(model, image=(28, 28, 1)):
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    logits, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), images
    )
    return logits, {k: v.shape for k, v in flatten_named(variables["params"]).items()}


@pytest.mark.parametrize(
    ("model", "image", "features"),
    [
        (lenet(num_classes=0), (28, 28, 1), 320),
        (lenet5(num_classes=0), (28, 28, 1), 84),
        (inception_small(num_classes=0), (28, 28, 1), 1408),
    ],
)
def test_features(model, image, features):
    assert shapes_of(model, image)[0].shape == (2, features)


def test_lenet5_of_an_image_that_is_32_pixels_wide_already():
    _, shapes = shapes_of(lenet5(padding=0), (32, 32, 1))
    assert shapes["hidden1/kernel"] == (400, 120)


@pytest.mark.thorough
def test_lenet5_options_change_the_function_and_not_the_parameters():
    images = noise(1, 12, 12, 1)
    variables = jax.jit(lenet5().init)(jax.random.key(1), images)
    logits = [
        jax.jit(model.apply)(variables, images)
        for model in (lenet5(), lenet5(activation="tanh"), lenet5(pool="average"))
    ]
    assert not np.allclose(logits[0], logits[1], atol=1e-3)
    assert not np.allclose(logits[0], logits[2], atol=1e-3)


def test_inception_widths_are_open():
    model = inception_small(
        features=(3, 4), branch1x1=2, branch5x5=(2, 3), branch3x3=(2, 3, 4)
    )
    _, shapes = shapes_of(model)
    assert shapes["conv2/kernel"] == (5, 5, 2 + 3 + 4 + 24, 4)
    assert shapes["inception2/branch3x3_3/kernel"] == (3, 3, 3, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("make", [cnn, inception_small, lenet, lenet5, mlp])
def test_the_initialiser_reaches_every_kernel_and_biases_start_as_zeros(make):
    model = make(kernel_init=nn.initializers.constant(7.0))
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    for name, leaf in flatten_named(variables).items():
        assert np.all(leaf == (7 if name.endswith("kernel") else 0)), name


@pytest.mark.parametrize(
    ("make", "kwargs", "message"),
    [
        (lenet, {"kernel_init": "he"}, "kernel_init='he' is unknown"),
        (lenet5, {"kernel_init": "he"}, "kernel_init='he' is unknown"),
        (lenet5, {"activation": "rellu"}, "activation='rellu' is unknown"),
        (lenet5, {"pool": "stride"}, "pool='stride' is unknown.*'max', 'average'"),
        (lenet5, {"padding": -1}, "padding must be a whole number of at least 0"),
        (inception_small, {"features": 10}, "features must be a sequence"),
        (inception_small, {"kernel_init": "he"}, "kernel_init='he' is unknown"),
    ],
)
def test_wrong_choices_are_explained(make, kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)
