"""Every registered model by shapes alone: counts, logits, features, wrong input."""

import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

import jaxcnn.models  # noqa: F401  registers the models
from jaxcnn.registry import create_model, list_models
from jaxcnn.tree import count_params

ROWS = pathlib.Path(__file__).parents[1] / "golden" / "params"
#: One file a family; `macs` where a source prints them, in millions, as it prints them.
GOLDEN = {
    name: row
    for path in sorted(ROWS.glob("*.json"))
    for name, row in json.loads(path.read_text()).items()
}
NAMES = list_models()  # before another test registers a model of its own
CLASSIFIERS = list_models(kind="classifier")


def shapes_of(model, image, train=False):
    """Returns the shapes of the output and of the variables for two images."""
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    return jax.eval_shape(
        lambda rngs, images: model.init_with_output(rngs, images, train=train),
        rngs,
        images,
    )


def test_every_model_is_counted():
    assert set(GOLDEN) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_the_reference_has(name):
    golden = GOLDEN[name]
    _, variables = shapes_of(create_model(name), golden["image"])
    assert count_params(variables["params"]) == golden["params"], golden["source"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resnet20_cifar", 272_474),
        ("resnet56_cifar", 855_770),
        ("resnet110_cifar", 1_730_714),
    ],
)
def test_parameters_with_option_b_shortcuts(name, params):
    _, variables = shapes_of(create_model(name, shortcut="B"), (32, 32, 3))
    assert count_params(variables["params"]) == params


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits(name, train):
    model = create_model(name, num_classes=7, dtype=jnp.bfloat16)
    logits, variables = shapes_of(model, GOLDEN[name]["image"], train)
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_classes_returns_what_the_head_would_get(name):
    image = GOLDEN[name]["image"]
    _, whole = shapes_of(create_model(name), image)
    features, headless = shapes_of(create_model(name, num_classes=0), image)
    head = whole["params"].pop("head")
    assert features.shape == (2, head["kernel"].shape[-2])
    assert features.dtype == jnp.float32
    assert headless == whole


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_channel_and_an_image_that_is_not_square(name):
    height, width, _ = GOLDEN[name]["image"]
    logits, _ = shapes_of(create_model(name, num_classes=3), (height, width + 8, 1))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_wrong_rank_is_explained(name):
    message = r"needs images of shape \[batch, height, .* got shape \(2, 28, 28\)"
    with pytest.raises(ValueError, match=message):
        shapes_of(create_model(name), (28, 28))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_wrong_number_of_classes_is_explained(name):
    message = "num_classes must be a whole number of at least 0, got -1"
    with pytest.raises(ValueError, match=message):
        create_model(name, num_classes=-1)


@pytest.mark.parametrize(
    ("name", "kwargs", "smallest"),
    [
        ("lenet", {}, 16),
        ("lenet5", {}, 12),
        ("lenet5", {"padding": 0}, 16),
        ("inception_small", {}, 16),
        ("inception_small", {"features": (4, 4, 4)}, 36),
        ("cnn", {}, 4),
        ("cnn", {"kernel_size": 5, "padding": "valid"}, 16),
        ("cnn", {"convs_per_stage": (1, 2), "padding": "valid"}, 14),
        ("cnn", {"pool": "stride", "padding": "valid"}, 7),
        ("cnn", {"pool": "average", "kernel_size": (7, 3), "padding": 1}, 8),
        ("alexnet", {}, 63),
        ("vgg11", {}, 32),
        ("squeezenet1_0", {}, 21),
        ("squeezenet1_1", {}, 17),
        ("googlenet", {}, 15),
        ("googlenet", {"stages": (((8,) * 6,),)}, 7),
        ("inception_v3", {}, 75),
        ("inception_v4", {}, 75),
        ("inception_resnet_v2", {}, 75),
        ("xception", {}, 7),
    ],
)
def test_images_too_small_for_the_pools_are_refused(name, kwargs, smallest):
    model = create_model(name, num_classes=3, **kwargs)
    assert shapes_of(model, (smallest, smallest + 1, 1))[0].shape == (2, 3)
    message = rf"images of at least {smallest}x{smallest}, got shape \(2, \d+, \d+, 1\)"
    with pytest.raises(ValueError, match=message):
        shapes_of(model, (smallest + 1, smallest - 1, 1))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20_cifar"])
@pytest.mark.parametrize("size", [(1, 1), (33, 17)])
def test_residual_networks_take_any_size(name, size):
    assert shapes_of(create_model(name, num_classes=3), (*size, 3))[0].shape == (2, 3)
