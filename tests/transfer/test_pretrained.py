"""The tables of published weights, and the preprocessing that they state."""

import dataclasses
import json

import pytest

import jaxcnn
from jaxcnn.models import key_maps
from jaxcnn.transfer import PretrainedConfig, pretrained_config, pretrained_sets
from jaxcnn.transfer.pretrained import _table

ROWS = [(name, weights) for name, rows in _table().items() for weights in rows]


def test_there_are_rows_of_every_library():
    assert {weights.split(":")[0] for _, weights in ROWS} == {
        *("torchvision", "timm", "keras", "akamaster", "caffe")
    }
    assert len(_table()) > 40


@pytest.mark.parametrize("name", _table())
def test_rows_hold_together(name):
    for weights in pretrained_sets(name):
        config = pretrained_config(name, weights)
        height, width, _ = config.image_shape
        preprocess = config.preprocess
        assert (height, width) == (preprocess.crop or preprocess.size or (32, 32))
        assert len(preprocess.mean) == 3
        assert config.class_names == () or len(config.class_names) == config.num_classes
        assert config.file
        assert config.licence
        assert config.status in ("loaded", "mapped only")
        if config.address is not None:
            assert config.address.startswith("https://")
        elif config.status != "loaded":
            pytest.fail(f"{name} {weights} has no address")
        # What has no hash at its publisher's is downloaded over TLS, and said.
        assert config.hash or weights.split(":")[0] in ("timm", "keras")


@pytest.mark.parametrize(
    "name", [name for name in _table() if name in jaxcnn.list_models()]
)
def test_every_set_has_a_map_and_options_that_its_model_takes(name):
    for weights in pretrained_sets(name):
        config = pretrained_config(name, weights)
        model = jaxcnn.create_model(name, **config.model_args)
        # Many networks of timm are named as torchvision's are.
        sources = {weights.split(":")[0]}
        sources |= {"torchvision"} if "timm" in sources else set()
        assert sources & key_maps(model).keys(), (name, weights)


def test_no_file_is_two_sets_of_different_weights():
    files = {}
    for name, weights in ROWS:
        config = pretrained_config(name, weights)
        files.setdefault(config.file, set()).add(config.address)
    assert [file for file, addresses in files.items() if len(addresses) > 1] == []


def test_published_numbers_as_their_authors_state_them():
    """Those of GOLDEN numbers: torchvision's own metadata, top-1 and parameters."""
    config = pretrained_config("resnet50", "torchvision:IMAGENET1K_V2")
    assert (config.top1, config.params) == (80.858, 25_557_032)
    assert (config.preprocess.resize, config.preprocess.crop) == (232, (224, 224))
    assert config.hash == "sha256:11ad3fa6"
    assert config.class_names[0] == "tench"
    assert config.class_names[-1] == "toilet tissue"


def test_networks_that_standardise_inside_get_what_they_make_of_it():
    """GoogLeNet maps ImageNet's statistics to a mean and a deviation of 1/2."""
    for name in ("googlenet", "inception_v3"):
        config = pretrained_config(name, "torchvision:IMAGENET1K_V1")
        assert config.preprocess.mean == config.preprocess.std == (0.5, 0.5, 0.5)


def test_keras_preprocessing_of_vgg_is_caffes():
    preprocess = pretrained_config("vgg16", "keras:imagenet").preprocess
    assert preprocess.channel_order == "BGR"
    assert [round(255 * m, 3) for m in preprocess.mean] == [103.939, 116.779, 123.68]
    assert [round(255 * s, 3) for s in preprocess.std] == [1, 1, 1]


def test_weights_that_were_loaded():
    loaded = [row for row in ROWS if pretrained_config(*row).status == "loaded"]
    assert loaded == [
        ("resnet20_cifar", "akamaster:cifar10"),
        ("squeezenet1_0", "caffe:imagenet"),
    ]


def test_unknown_sets_and_models():
    message = (
        r"No weights 'torchvision:IMAGENET1K_V3' are published for resnet50\. Did you "
        r"mean 'torchvision:IMAGENET1K_V\d'\? Known: torchvision:IMAGENET1K_V1, torch"
    )
    with pytest.raises(ValueError, match=message):
        pretrained_config("resnet50", "torchvision:IMAGENET1K_V3")
    with pytest.raises(ValueError, match=r"published for lenet\. Known: none"):
        pretrained_config("lenet", "torchvision:IMAGENET1K_V1")
    with pytest.raises(ValueError, match=r"Unknown model 'resnet5'\. Did you mean"):
        pretrained_config("resnet5", "torchvision:IMAGENET1K_V1")
    assert pretrained_sets("lenet") == []


def test_json_and_back():
    config = pretrained_config("resnet18", "torchvision:IMAGENET1K_V1")
    assert (
        PretrainedConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    )
    with pytest.raises(ValueError, match="the configuration is damaged"):
        PretrainedConfig.from_json({**config.to_json(), "preprocess": {"size": [1]}})
    with pytest.raises(ValueError, match="the configuration is damaged"):
        PretrainedConfig.from_json({"colour": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"image_shape": "abc"},
        {"image_shape": [32, 32, 0]},
        {"num_classes": "10"},
        {"num_classes": -1},
        {"model_args": [1]},
        {"model_args": {"num_classes": 3}},
        {"model_args": {"name": "lenet"}},
    ],
)
def test_values_of_the_wrong_kind(changes):
    values = {"model": "mlp", "weights": "x"} | changes
    with pytest.raises(ValueError, match=f"damaged .{next(iter(changes))} is"):
        PretrainedConfig.from_json(values)


def test_preprocessing_of_a_set():
    import numpy as np

    config = pretrained_config("resnet18", "torchvision:IMAGENET1K_V1")
    small = dataclasses.replace(config.preprocess, resize=20, crop=(16, 16))
    config = dataclasses.replace(config, preprocess=small)
    images = np.full((1, 40, 30, 3), 255, np.uint8)
    found = jaxcnn.make_preprocess(config)(images)
    expected = (1 - np.array(small.mean)) / np.array(small.std)
    assert found.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(found[0, 3, 4], expected, rtol=1e-5)
