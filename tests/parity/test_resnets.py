"""Our residual networks against torchvision's and against published weights."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.registry import create_model
from jaxcnn.tree import flatten_named

from . import convert
from .compare import assert_close, assert_trees_close

pytestmark = pytest.mark.parity


IMAGENET_MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def build(torch, torchvision, name):
    """Returns torchvision's network with random weights, norms and statistics."""
    model = getattr(torchvision.models, name)(weights=None)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


def pixels(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("size", [(64, 64), (65, 96)])
def test_evaluation_gives_torchvisions_logits(name, size, torch, torchvision):
    reference = build(torch, torchvision, name).eval()
    variables = convert.resnet(convert.arrays(reference.state_dict()))
    images = pixels(2, *size, 3)
    with torch.no_grad():
        expected = reference(torch.from_numpy(convert.images(images)))
    got = jax.jit(create_model(name).apply)(variables, images)
    assert_close(got, expected.numpy())


def keep_the_biased_variance(torch, model):
    """Makes BatchNorm average the biased variance, as Flax does, not n / (n - 1) of it.

    With PyTorch's momentum of 0.1 the new running variance is 0.9 old + 0.1 batch.
    """
    before = {}

    def remember(module, inputs):
        before[module] = 0.9 * module.running_var

    def correct(module, inputs, output):
        n = inputs[0].numel() / inputs[0].shape[1]
        batch = module.running_var - before[module]
        module.running_var.copy_(before[module] + batch * (n - 1) / n)

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(remember)
            module.register_forward_hook(correct)


def test_training_gives_torchvisions_logits_and_statistics(torch, torchvision):
    reference = build(torch, torchvision, "resnet18").train()
    variables = convert.resnet(convert.arrays(reference.state_dict()))
    images = pixels(4, 64, 96, 3)
    keep_the_biased_variance(torch, reference)
    with torch.no_grad():
        expected = reference(torch.from_numpy(convert.images(images))).numpy()
    updated = convert.resnet(convert.arrays(reference.state_dict()))["batch_stats"]

    model = create_model("resnet18")
    logits, state = jax.jit(
        lambda variables: model.apply(
            variables, images, train=True, mutable=["batch_stats"]
        )
    )(variables)
    assert_close(logits, expected)
    assert_trees_close(state["batch_stats"], updated)
    for name, old in flatten_named(variables["batch_stats"]).items():
        assert np.abs(flatten_named(updated)[name] - old).max() > 1e-3, name


@pytest.fixture(scope="module")
def data_directory():
    """The folder with `weights/resnet20-12fca82f.th` in it."""
    directory = os.environ.get("JAXCNN_TEST_DATA")
    if not directory:
        pytest.skip("JAXCNN_TEST_DATA names no folder with the published weights")
    return Path(directory)


@pytest.fixture(scope="module")
def cifar10_test():
    """Images `[10000, 32, 32, 3]` uint8 and labels of CIFAR-10's test split."""
    if not os.environ.get("TFDS_DATA_DIR"):
        pytest.skip("TFDS_DATA_DIR names no folder with CIFAR-10")
    tfds = pytest.importorskip("tensorflow_datasets")
    source = tfds.data_source(
        "cifar10", split="test", data_dir=os.environ["TFDS_DATA_DIR"]
    )
    examples = source.__getitems__(range(len(source)))
    images = np.stack([example["image"] for example in examples])
    return images, np.array([example["label"] for example in examples])


def test_published_cifar_weights_reach_their_accuracy(
    torch, data_directory, cifar10_test
):
    """91.73 % with the weights of https://github.com/akamaster/pytorch_resnet_cifar10.

    In the copy of CIFAR-10 that this was first run on, 97 images (77 of train, 20 of
    test, mostly ships) are re-encoded at JPEG quality; the others are exact. One image
    more or less is left to rounding.
    """
    path = data_directory / "weights" / "resnet20-12fca82f.th"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    variables = convert.resnet(convert.arrays(state))
    model = create_model("resnet20_cifar")
    mean, std = np.array(IMAGENET_MEAN_STD, np.float32).reshape(2, 1, 1, 1, 3)
    images, labels = cifar10_test

    @jax.jit
    def predict(images):
        x = (images.astype(jnp.float32) / 255 - mean) / std
        return model.apply(variables, x).argmax(-1)

    batches = np.split(images, 20)
    correct = (np.concatenate([predict(batch) for batch in batches]) == labels).sum()
    assert len(labels) == 10_000
    assert abs(correct - 9_173) <= 1
