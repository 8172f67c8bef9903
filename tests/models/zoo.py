"""What the tests of all models share: their golden rows, their families, one trace."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

import jaxcnn.models  # noqa: F401  registers the models
from jaxcnn.models.summary import summarize
from jaxcnn.registry import create_model, list_models

GOLDEN_FILES = pathlib.Path(__file__).parents[1] / "golden" / "params"
#: One file a family: `params`, `image`, `macs` as the source prints them, `source`.
GOLDEN = {
    name: row
    for path in sorted(GOLDEN_FILES.glob("*.json"))
    for name, row in json.loads(path.read_text()).items()
}
NAMES = list_models()  # before a test registers a model of its own
CLASSIFIERS = list_models(kind="classifier")


@functools.cache
def counted(name):
    """Returns the summary of a model on the images that it is made for."""
    return summarize(create_model(name), (1, *GOLDEN[name]["image"]))


def shapes_of(model, image, train=False):
    """Returns the shapes of the output and of the variables for two images."""
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    return jax.eval_shape(
        lambda rngs, images: model.init_with_output(rngs, images, train=train),
        rngs,
        images,
    )


def one_of_each_family(names):
    """Returns the smallest model of each class of models, and of each class of block.

    Variants of a family differ in numbers alone: what an option does to one of them it
    does to all.
    """
    families = {}
    for name in sorted(names, key=lambda name: GOLDEN[name]["params"]):
        model = create_model(name)
        families.setdefault((type(model), getattr(model, "block", None)), name)
    return sorted(families.values())


FAMILIES = one_of_each_family(set(CLASSIFIERS) & set(GOLDEN))

#: The families that the default run shows everything with; the others are traced with
#: the thorough tests.
SHOWN = {
    "cnn",
    "inception_small",
    "lenet",
    "mobilenet_v2",
    "resnet18",
    "resnet20_cifar",
    "squeezenet1_1",
}
#: Hundreds of layers, whose tracing takes ten seconds: traced by hand. The table of
#: counts is compared with the references for all in the default run.
DEEP = {
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet_bc_190_cifar",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "resnet152",
}


def shown_first(names):
    """Returns the names as parameters, those of other families marked `thorough`."""
    return [
        name if name in SHOWN else pytest.param(name, marks=_mark_of(name))
        for name in names
    ]


def _mark_of(name):
    return pytest.mark.slow if name in DEEP else pytest.mark.thorough
