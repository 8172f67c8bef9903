"""SqueezeNet's Caffe weights from a file: its settings, and what is on photographs."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcnn
from jaxcnn.registry import create_model
from jaxcnn.transfer import pretrained
from jaxcnn.transfer.load import load
from jaxcnn.transfer.origin import named_model, open_weights


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small file whose hash stands in the table, under a name of its own."""
    file = tmp_path / "anything.npz"
    np.savez(file, **{"conv1/w": np.zeros((7, 7, 3, 96), np.float32)})
    digest = pretrained.hashlib.sha256(file.read_bytes()).hexdigest()
    table = {name: dict(sets) for name, sets in pretrained._table().items()}
    row = table["squeezenet1_0"]["caffe:imagenet"]
    table["squeezenet1_0"]["caffe:imagenet"] = {**row, "hash": f"sha256:{digest}"}
    monkeypatch.setattr(pretrained, "_table", lambda: table)
    return file


def test_a_published_file_is_known_by_its_hash(published, tmp_path):
    assert named_model(published) == "squeezenet1_0"
    config = open_weights("squeezenet1_0", published).config
    assert config.weights == "caffe:imagenet"
    assert (config.preprocess.channel_order, config.image_shape) == (
        "BGR",
        (227, 227, 3),
    )
    assert config.class_names[281] == "tabby"
    assert open_weights("vgg19", published).config is None
    other = tmp_path / "other.npz"
    np.savez(other, **{"conv1/w": np.ones((7, 7, 3, 96), np.float32)})
    assert named_model(other) is None
    assert named_model("caffe:imagenet") is None


def test_caffes_version_1_0_pads_its_last_convolution():
    """By `conv10` of both `deploy.prototxt` of its authors; 1.1 has none there."""
    maps = jaxcnn.models.key_map.key_maps
    for name, options in (
        ("squeezenet1_0", {"head_padding": 1}),
        ("squeezenet1_1", {}),
    ):
        model = create_model(name)
        assert maps(model)["caffe"].options(model) == options
        assert maps(model)["torchvision"].options(model) == {}


@pytest.fixture(scope="module")
def data():
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    return Path(os.environ["JAXCNN_TEST_DATA"])


@pytest.mark.thorough
def test_photographs_are_named(data):
    """No class of ImageNet is an astronaut: the model shuttle beside her is one."""
    file = data / "weights" / "squeezenet1_0-imagenet.npz"
    loaded = load("squeezenet1_0", file)
    assert loaded.model.head_padding == 1
    assert load("squeezenet1_0", file, head_padding=0).model.head_padding == 0
    labels = (file.parent / "imagenet_labels.txt").read_text().splitlines()
    names = loaded.config.class_names
    assert [name.split(",")[0] for name in labels[1:]] == [
        {"crane bird": "crane", "maillot tank suit": "maillot"}.get(name, name)
        for name in names
    ]
    preprocess = jaxcnn.make_preprocess(loaded.config)
    photos = {
        "Egyptian cat": picture(data, "chelsea.png"),
        "espresso": picture(data, "coffee.png"),
        "space shuttle": picture(data, "astronaut.png")[:300, 212:],
    }
    images = np.concatenate([preprocess(photo[None]) for photo in photos.values()])
    logits = jax.jit(loaded.model.apply)(loaded.variables, images)
    shares = np.asarray(jax.nn.softmax(logits))
    assert [names[k] for k in shares.argmax(1)] == list(photos)
    assert (shares.max(1) > 0.8).all()


def picture(data, name):
    with Image.open(data / "photos" / name) as image:
        return np.asarray(image.convert("RGB"))
