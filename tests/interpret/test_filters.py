import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.interpret import (
    feature_maps,
    filter_images,
    first_layer,
    strongest_channels,
)
from jaxcnn.models.features import capture
from jaxcnn.registry import create_model


def params(kernel):
    return {"params": {"conv": {"kernel": np.asarray(kernel, np.float32)}}}


@pytest.mark.parametrize(
    ("name", "shape", "path"),
    [
        ("lenet", (28, 28, 1), "conv1"),
        pytest.param(
            "resnet20_cifar", (32, 32, 3), "stem/conv", marks=pytest.mark.thorough
        ),
        ("mlp", (28, 28, 1), "hidden1"),
        pytest.param(
            "conv_autoencoder",
            (28, 28, 1),
            "encoder/conv1",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_first_layer(name, shape, path):
    assert first_layer(create_model(name), shape) == path


def test_a_model_without_kernels_has_no_first_layer():
    from flax import linen as nn

    class Mean(nn.Module):
        def __call__(self, x):
            return x.mean(axis=(1, 2))

    with pytest.raises(ValueError, match="Mean calls no convolution"):
        first_layer(Mean(), (4, 4, 1))


def test_filters_are_scaled_each_around_grey():
    kernel = np.zeros((1, 2, 3, 3))
    kernel[0, :, 0, 0] = 1, -4  # in red
    kernel[0, 1, 2, 1] = 0.5  # in blue
    pictures = np.asarray(filter_images(params(kernel), "conv"))
    assert pictures.shape == (3, 1, 2, 3)
    np.testing.assert_allclose(pictures[0, 0], [[0.625, 0.5, 0.5], [0, 0.5, 0.5]])
    np.testing.assert_allclose(pictures[1, 0], [[0.5, 0.5, 0.5], [0.5, 0.5, 1]])
    np.testing.assert_allclose(pictures[2], np.full((1, 2, 3), 0.5))  # all zeros


def test_one_channel_of_many():
    kernel = np.arange(8.0).reshape(1, 1, 4, 2)
    found = filter_images(params(kernel), "conv", channel=2)
    np.testing.assert_array_equal(found, np.ones((2, 1, 1, 1)))
    with pytest.raises(ValueError, match="kernels of 4 channels: give one, channel="):
        filter_images(params(kernel), "conv")
    with pytest.raises(ValueError, match=r"channel must be .* less than 4, got 4"):
        filter_images(params(kernel), "conv", channel=4)


def test_dense_layers_have_pictures_too():
    kernel = np.arange(12.0).reshape(6, 2)
    found = filter_images(params(kernel), "conv", image_shape=(2, 3, 1))
    expected = 0.5 + kernel[:, 1].reshape(2, 3) / 22
    np.testing.assert_allclose(found[1, ..., 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"6 inputs, which are no images of .*4, 4, 1"):
        filter_images(params(kernel), "conv", image_shape=(4, 4, 1))
    with pytest.raises(ValueError, match=r"shape \[6, 2\], no picture"):
        filter_images(params(kernel), "conv")


def test_an_unknown_path_names_the_nearest():
    with pytest.raises(ValueError, match=r"no kernel at 'convs'.*'conv'"):
        filter_images(params(np.zeros((1, 1, 1, 1))), "convs")


@pytest.mark.thorough
def test_maps_are_what_capture_gives(key):
    model = create_model("lenet")
    images = jax.random.randint(key, (2, 28, 28, 1), 0, 256).astype(jnp.uint8)
    variables = model.init(key, jnp.zeros((1, 28, 28, 1)))
    maps = feature_maps(model, variables, images, "conv1")
    expected = capture(model, variables, images / 255, ["conv1"])["conv1"]
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"'head' gives shape \[2, 10\].*no maps"):
        feature_maps(model, variables, images, "head")


def test_strongest_channels():
    maps = np.zeros((2, 2, 4))
    maps[0, 0] = 1, -8, 0, 4
    assert strongest_channels(jnp.array(maps), 3).tolist() == [1, 3, 0]
    batch = jnp.stack([maps, -2 * maps])
    assert strongest_channels(batch, 9).tolist() == [[1, 3, 0, 2]] * 2
    with pytest.raises(ValueError, match=r"count must be .*, got 0"):
        strongest_channels(batch, 0)
