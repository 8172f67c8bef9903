"""SqueezeNet against torchvision's, and on photographs with its published weights."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn.registry import create_model

from .reference import check_evaluation, randomise, variables_of

#: What each photograph shows, in words of the ImageNet labels.
PHOTOS = {
    "chelsea.png": {"tabby", "tiger cat", "Egyptian cat"},
    "coffee.png": {"espresso", "cup", "coffee mug"},
}


def check(torch, torchvision, name, image):
    reference = randomise(torch, getattr(torchvision.models, name)())
    endpoints = {"fire9": "features.12", "conv1": "features.1"}
    check_evaluation(torch, name, reference, "torchvision", image, endpoints=endpoints)


@pytest.mark.parity
def test_evaluation(torch, torchvision):
    check(torch, torchvision, "squeezenet1_0", (64, 97, 3))


@pytest.mark.parity_full
@pytest.mark.parametrize("image", [(64, 97, 3), (224, 224, 3)])
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_evaluation_of_every_variant(name, image, torch, torchvision):
    check(torch, torchvision, name, image)


@pytest.fixture(scope="module")
def data_directory():
    """The folder with `weights/squeezenet1_0-imagenet.npz` in it."""
    directory = os.environ.get("JAXCNN_TEST_DATA")
    if not directory:
        pytest.skip("JAXCNN_TEST_DATA names no folder with the published weights")
    return Path(directory)


@pytest.mark.parity
def test_published_weights_name_what_photographs_show(data_directory):
    """The Caffe weights of https://github.com/forresti/SqueezeNet."""
    weights = data_directory / "weights"
    model = create_model("squeezenet1_0", head_padding=1)
    with np.load(weights / "squeezenet1_0-imagenet.npz") as arrays:
        variables = variables_of(model, (227, 227, 3), dict(arrays), "caffe")
    # The first line of the labels is the background, which the weights do not have.
    labels = (weights / "imagenet_labels.txt").read_text().splitlines()[1:]
    images = np.stack([photo(data_directory / "photos" / name) for name in PHOTOS])
    logits = jax.jit(model.apply)(variables, images)
    for (name, expected), best in zip(
        PHOTOS.items(), jnp.argsort(-logits)[:, :5], strict=True
    ):
        named = [labels[k] for k in best]
        assert named[0] in expected, (name, named)


def photo(path):
    """Returns 227x227 pixels of the centre, BGR, minus ImageNet's means."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (n - side for n in image.size)
    box = (left // 2, top // 2, left // 2 + side, top // 2 + side)
    image = image.resize((227, 227), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image, np.float32)[..., ::-1]
    return pixels - np.array([104, 117, 123], np.float32)
