"""Endpoints of a family, and the output of any submodule by its path."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.registry import create_model
from jaxcnn.tree import nearest
from jaxcnn.typing import Array, PyTree

_Endpoints = Callable[[Any], Sequence[str]]

_ENDPOINTS: dict[type[nn.Module], _Endpoints] = {}


@dataclasses.dataclass(frozen=True)
class Feature:
    """An endpoint of a model.

    Attributes:
        path: Path of the submodule whose output it is; `capture` takes it.
        channels: Channels of the output.
        reduction: Pixels of the image for each position of the output, along each
            side (rounded where the model crops).
    """

    path: str
    channels: int
    reduction: int


def endpoints_of(module: type[nn.Module]) -> Callable[[_Endpoints], _Endpoints]:
    """Registers a function that lists the endpoints of a model of that class.

    Endpoints are paths of submodules: for each size that the image goes through the
    last submodule of that size, activation included, from the stem to the deepest.
    """

    def register(function: _Endpoints) -> _Endpoints:
        _ENDPOINTS[module] = function
        return function

    return register


def last_of_each_size(layers: Sequence[tuple[str, int]]) -> list[str]:
    """Returns the paths in front of each stride but the first, and the last path.

    Args:
        layers: Path and stride of one submodule after the other.

    Example:
        >>> last_of_each_size([("stem", 2), ("block1", 1), ("block2", 2)])
        ['block1', 'block2']
    """
    followed = itertools.pairwise(layers)
    paths = [path for (path, _), (_, stride) in followed if stride > 1]
    return [*paths, layers[-1][0]]


def feature_info(model: str | nn.Module, image_shape: Sequence[int]) -> list[Feature]:
    """Returns the endpoints of a model's family, from the stem to the deepest.

    Args:
        model: A registered name, or a model.
        image_shape: `(height, width, channels)` of the images.

    Raises:
        ValueError: if the family has no endpoints.

    Example:
        >>> for feature in feature_info("resnet18", (224, 224, 3))[-2:]:
        ...     print(feature)
        Feature(path='stage3_block2', channels=256, reduction=16)
        Feature(path='stage4_block2', channels=512, reduction=32)
    """
    if isinstance(model, str):
        model = create_model(model)
    known = [cls for cls in type(model).__mro__ if cls in _ENDPOINTS]
    if not known:
        raise ValueError(
            f"{type(model).__name__} has no endpoints of its own; capture takes the "
            "path of any of its submodules."
        )
    paths = list(_ENDPOINTS[known[0]](model))
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    outputs = jax.eval_shape(
        lambda variables, images: capture(model, variables, images, paths),
        variables,
        images,
    )
    return [
        Feature(
            path,
            outputs[path].shape[-1],
            round(image_shape[0] / outputs[path].shape[1]),
        )
        for path in paths
    ]


def capture(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    endpoints: Sequence[str],
    **kwargs: Any,
) -> dict[str, Any]:
    """Returns the outputs of submodules by their paths.

    Works for any Linen module and needs nothing from it. It is pure: under `jax.jit`
    what lies behind the last endpoint is not computed.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: Its input.
        endpoints: Paths such as `"stage1_block1/reduce"`; `""` is the model itself.
        **kwargs: Given to the call, such as `train=True` with `rngs=...` and
            `mutable=[...]`; changed collections are dropped.

    Returns:
        For each endpoint what it returns; the last call counts if there are several.

    Raises:
        ValueError: if a path is no submodule that is called (the nearest is named).

    Example:
        >>> model = create_model("lenet")
        >>> images = jnp.zeros((1, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> capture(model, variables, images, ["conv2"])["conv2"].shape
        (1, 8, 8, 20)
    """
    outputs: dict[str, Any] = {}

    def keep(function: Any, args: Any, keywords: Any, context: Any) -> Any:
        result = function(*args, **keywords)
        if context.method_name == "__call__":
            outputs["/".join(context.module.path)] = result
        return result

    with nn.intercept_methods(keep):
        model.apply(variables, images, **kwargs)
    for path in endpoints:
        if path not in outputs:
            raise ValueError(
                f"{type(model).__name__} calls no submodule {path!r}."
                f"{nearest(path, outputs)}"
            )
    return {path: outputs[path] for path in endpoints}
