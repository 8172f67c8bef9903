"""The Hugging Face hub, with a stand-in for its client."""

import json
import sys
import types

import numpy as np
import pytest

import jaxcnn
from jaxcnn.transfer import write_safetensors

CONFIG = {
    "architecture": "lenet",
    "num_classes": 10,
    "pretrained_cfg": {
        "input_size": [1, 28, 28],
        "mean": [0.1],
        "std": [0.3],
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "license": "mit",
    },
}


class Missing(Exception):
    pass


class Offline(Missing):
    pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Returns the folder that stands for the repository `owner/name`."""
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))

    def download(repository, name, revision=None, cache_dir=None):
        assert str(cache_dir) == str(tmp_path / "home" / "hub")
        if repository != "owner/name" or revision not in (None, "v2"):
            raise Offline("no connection\nin many words")
        if not (folder / name).exists():
            raise Missing(name)
        return str(folder / name)

    client = types.ModuleType("huggingface_hub")
    client.hf_hub_download = download
    errors = types.ModuleType("huggingface_hub.errors")
    errors.EntryNotFoundError, errors.LocalEntryNotFoundError = Missing, Offline
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return folder


def lenet_arrays():
    import jax
    import jax.numpy as jnp

    from jaxcnn.tree import flatten_named

    model = jaxcnn.create_model("lenet")
    images = jnp.zeros((1, 28, 28, 1))
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(leaf.shape).astype(np.float32)
        for name, leaf in flatten_named(shapes).items()
    }


@pytest.mark.parametrize("weights", ["hf-hub:owner/name", "hf-hub:owner/name@v2"])
def test_weights_of_a_repository(hub, weights):
    arrays = lenet_arrays()
    write_safetensors(hub / "model.safetensors", arrays)
    _, variables = jaxcnn.load_model("lenet", weights)
    np.testing.assert_array_equal(
        variables["params"]["head"]["bias"], arrays["params/head/bias"]
    )


def test_the_configuration_of_a_repository(hub):
    config = jaxcnn.pretrained_config("lenet", "hf-hub:owner/name")
    assert config.preprocess.resize == 29  # floor(28 / 0.95)
    assert config.preprocess.crop == (28, 28)
    assert (config.image_shape, config.num_classes) == ((28, 28, 1), 10)
    assert (config.licence, config.preprocess.mean) == ("mit", (0.1,))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({}, r"not a configuration of timm \(KeyError\('input_size'\)\)"),
        ({**CONFIG["pretrained_cfg"], "crop_mode": "border"}, "crop mode 'border'"),
    ],
)
def test_another_configuration(hub, cfg, message):
    (hub / "config.json").write_text(json.dumps(cfg))
    with pytest.raises(ValueError, match=message):
        jaxcnn.pretrained_config("lenet", "hf-hub:owner/name")


def test_a_repository_without_weights(hub):
    message = r"hf-hub:owner/name has no model\.safetensors and no pytorch_model\.bin"
    with pytest.raises(ValueError, match=message):
        jaxcnn.load_model("lenet", "hf-hub:owner/name")


def test_offline(hub):
    message = (
        r"model\.safetensors of some/one is not in the cache and cannot be downloaded "
        r"\(no connection\)\. Get it from https://huggingface\.co/some/one"
    )
    with pytest.raises(OSError, match=message):
        jaxcnn.load_model("lenet", "hf-hub:some/one")


def test_a_name_that_is_no_repository(hub):
    with pytest.raises(ValueError, match="weights must be 'hf-hub:owner/name'"):
        jaxcnn.load_model("lenet", "hf-hub:name")


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = r"needs huggingface_hub: pip install 'jaxcnn\[hub\]'"
    with pytest.raises(ValueError, match=message):
        jaxcnn.load_model("lenet", "hf-hub:owner/name")
