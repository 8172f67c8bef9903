"""`jaxcnn convert`, and reading back what it wrote."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn.cli import dispatch
from jaxcnn.transfer.load import load
from jaxcnn.transfer.safetensors import read_safetensors, write_safetensors
from jaxcnn.tree import flatten_named


@pytest.fixture
def weights(tmp_path):
    """Weights of a small network for CIFAR in the names of its published ones."""
    model = jaxcnn.create_model("resnet20_cifar", width=2)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)
    flat = {
        name: rng.standard_normal(leaf.shape).astype(np.float32)
        for name, leaf in flatten_named(shapes).items()
    }
    np.savez(tmp_path / "some.npz", **flat)
    return tmp_path / "some.npz", flat


def convert(source, out, *flags):
    command = ["convert", str(source), str(out), "--model", "resnet20_cifar"]
    return dispatch([*command, "--args", '{"width": 2}', *flags])


def test_round_trip(weights, tmp_path, capsys):
    source, flat = weights
    out = tmp_path / "out.safetensors"
    assert convert(source, out, "--like", "akamaster:cifar10") == 0
    assert f"{out}: resnet20_cifar, {len(flat)} arrays" in capsys.readouterr().out
    # Neither options nor sizes are given: the file holds them.
    loaded = load("resnet20_cifar", out)
    assert loaded.model == jaxcnn.create_model("resnet20_cifar", width=2)
    for name, leaf in flatten_named(loaded.variables).items():
        np.testing.assert_array_equal(leaf, flat[name])
    published = jaxcnn.pretrained_config("resnet20_cifar", "akamaster:cifar10")
    assert loaded.config.preprocess == published.preprocess
    assert loaded.config.class_names == published.class_names
    assert loaded.config.image_shape == (32, 32, 3)
    assert loaded.config.weights == str(source)
    with pytest.raises(ValueError, match="holds weights of resnet20_cifar, not of len"):
        jaxcnn.load_model("lenet", out)


def test_the_configuration_is_in_the_header(weights, tmp_path):
    source, _ = weights
    out = tmp_path / "out.safetensors"
    convert(source, out, "--classes", "0", "--channels", "1", "--size", "24")
    arrays, metadata = read_safetensors(out)
    config = json.loads(metadata["jaxcnn"])
    assert config["model_args"] == {"width": 2}
    assert (config["num_classes"], config["image_shape"]) == (0, [24, 24, 1])
    assert arrays["params/stem/conv/kernel"].shape == (3, 3, 1, 2)
    assert not any("head" in name for name in arrays)
    model, variables = jaxcnn.load_model("resnet20_cifar", out)
    assert (model.num_classes, "head" in variables["params"]) == (0, False)
    model, variables = jaxcnn.load_model("resnet20_cifar", out, num_classes=5)
    assert variables["params"]["head"]["kernel"].shape == (8, 5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--args", "{"), "--args is no JSON"),
        (("--args", "[]"), "--args must be a JSON object"),
        (
            ("--like", "x:Y"),
            r"No weights 'x:Y' are published for resnet20_cifar\.",
        ),
        (("--clases", "3"), "--classes"),
    ],
)
def test_bad_flags(weights, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        convert(weights[0], tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_options_that_json_cannot_hold(weights, tmp_path):
    from jaxcnn.transfer.save import save_loaded

    loaded = load("resnet20_cifar", weights[0], width=2, dtype=jnp.bfloat16)
    with pytest.raises(ValueError, match="model_args cannot be written as JSON"):
        save_loaded(tmp_path / "out", loaded)


def test_a_damaged_configuration(tmp_path):
    text = json.dumps({"model": "lenet", "colour": "green"})
    write_safetensors(tmp_path / "x", {"x": np.zeros(1)}, {"jaxcnn": text})
    with pytest.raises(ValueError, match="the configuration is damaged"):
        jaxcnn.load_model("lenet", tmp_path / "x")
