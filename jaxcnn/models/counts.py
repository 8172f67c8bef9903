"""What is known of each registered model without tracing it: image, counts, weights."""

import dataclasses
import functools
import json
from importlib import resources
from typing import Any

from flax import linen as nn

from jaxcnn.tree import nearest


@dataclasses.dataclass(frozen=True)
class Counts:
    """A row of `counts.json`, which a test counts again.

    Attributes:
        image_shape: `(*spatial, channels)` of the images that the model is made for.
        params: Trainable parameters.
        macs: Multiply-adds of convolutions and dense layers on one such image.
    """

    image_shape: tuple[int, ...]
    params: int
    macs: int


@functools.cache
def model_counts() -> dict[str, Counts]:
    """Returns the counts of the library's own models by name.

    Example:
        >>> model_counts()["lenet"]
        Counts(image_shape=(28, 28, 1), params=8490, macs=467200)
    """
    text = resources.files("jaxcnn.models").joinpath("counts.json").read_text()
    return {
        name: Counts(tuple(row["image"]), row["params"], row["macs"])
        for name, row in json.loads(text).items()
    }


@dataclasses.dataclass(frozen=True)
class PublishedSet:
    """A set of weights that somebody published for a model.

    Attributes:
        name: Such as `"torchvision:IMAGENET1K_V1"`.
        status: `"loaded"` by us, or `"mapped only"`.
    """

    name: str
    status: str


@functools.cache
def published_sets() -> dict[str, tuple[PublishedSet, ...]]:
    """Returns the published sets of weights by model, from the tables beside them."""
    folder = resources.files("jaxcnn.models").joinpath("published")
    tables = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(folder.iterdir() if folder.is_dir() else (), key=str)
        if file.name.endswith(".json")
    ]
    return {
        model: tuple(PublishedSet(name, row["status"]) for name, row in sets.items())
        for table in tables
        if isinstance(table, dict)  # lists are names of classes
        for model, sets in table.items()
    }


def usual_image_shape(model: str | nn.Module) -> tuple[int, ...]:
    """Returns the shape of the images that a model is made for.

    Args:
        model: A registered name, or a model that has a field `image_shape`.

    Raises:
        ValueError: if it is not known.

    Example:
        >>> usual_image_shape("resnet50")
        (224, 224, 3)
    """
    if isinstance(model, str):
        if model in model_counts():
            return model_counts()[model].image_shape
        raise ValueError(
            f"The shape of the images of {model!r} is not known; say image_shape=..."
            f"{nearest(model, model_counts())}"
        )
    shape: Any = getattr(model, "image_shape", None)
    if shape is None:
        raise ValueError(
            f"{type(model).__name__} does not say what images it is made for; say "
            "image_shape=(height, width, channels)."
        )
    return tuple(shape)
