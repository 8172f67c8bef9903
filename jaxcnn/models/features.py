"""Endpoints of a family, and the output of any submodule by its path."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core.scope import union_filters

from jaxcnn.models.counts import usual_image_shape
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


def last_block_of_each_size(blocks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the endpoints of a stride-2 `stem`, blocks by name, and `last`.

    Args:
        blocks: What each block is built with, its `stride` among it.
    """
    strides = [(name, settings["stride"]) for name, settings in blocks.items()]
    return last_of_each_size([("stem", 2), *strides, ("last", 1)])


def feature_info(
    model: str | nn.Module, image_shape: Sequence[int] | None = None
) -> list[Feature]:
    """Returns the endpoints of a model's family, from the stem to the deepest.

    Args:
        model: A registered name, or a model.
        image_shape: `(height, width, channels)` of the images; for a registered name
            by default the shape that the model is made for.

    Raises:
        ValueError: if the family has no endpoints, or the shape is not known.

    Example:
        >>> for feature in feature_info("resnet18")[-2:]:
        ...     print(feature)
        Feature(path='stage3_block2', channels=256, reduction=16)
        Feature(path='stage4_block2', channels=512, reduction=32)
    """
    if image_shape is None:
        image_shape = usual_image_shape(model)
    if isinstance(model, str):
        model = create_model(model)
    paths = endpoint_paths(model)
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def outputs(variables: PyTree, images: Array) -> list[Array]:
        captured = capture(model, variables, images, paths)
        return [captured[path] for path in paths]

    shapes = [y.shape for y in jax.eval_shape(outputs, variables, images)]
    return [
        Feature(path, shape[-1], round(image_shape[0] / shape[1]))
        for path, shape in zip(paths, shapes, strict=True)
    ]


def has_endpoints(model: nn.Module) -> bool:
    """Tells whether the family of a model lists endpoints."""
    return any(cls in _ENDPOINTS for cls in type(model).__mro__)


def endpoint_paths(model: nn.Module) -> list[str]:
    """Returns the paths of a model's endpoints.

    Raises:
        ValueError: if its family has none.
    """
    if not has_endpoints(model):
        raise ValueError(
            f"{type(model).__name__} has no endpoints of its own; capture takes the "
            "path of any of its submodules."
        )
    known = next(cls for cls in type(model).__mro__ if cls in _ENDPOINTS)
    return list(_ENDPOINTS[known](model))


def capture(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    endpoints: Sequence[str],
    *,
    every_call: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Returns the outputs of submodules by their paths.

    Works for any Linen module and needs nothing from it. It is pure, so it may be
    compiled, and differentiated by the variables or the images. Under `jax.jit` what
    lies behind the last endpoint is not computed.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: Its input.
        endpoints: Paths such as `"stage1_block1/reduce"`; `""` is the model itself.
            What another method than `__call__` returns is `"path:method"`.
        every_call: Whether to return a tuple with the output of each call, in order,
            instead of the last call's output alone.
        **kwargs: Given to the call, such as `train=True` with `rngs=...` and
            `mutable=[...]` (changed collections are dropped), or `method="encode"`.

    Returns:
        For each endpoint what it returns.

    Raises:
        ValueError: if a path is no submodule that is called (the nearest is named), or
            lies in a module that `nn.scan`, `nn.vmap` or the like lifted without the
            collection `"intermediates"`, which carries what it returns.

    Example:
        >>> model = create_model("lenet")
        >>> images = jnp.zeros((1, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> capture(model, variables, images, ["conv2"])["conv2"].shape
        (1, 8, 8, 20)
    """
    if isinstance(endpoints, str):
        raise ValueError(
            f"endpoints must be a sequence of paths, got the string {endpoints!r}."
        )
    places: dict[str, tuple[str, ...]] = {}

    def wanted(module: nn.Module, method: str) -> bool:
        if module.scope is None:  # a method that checks the fields of a new module
            return False
        name = "/".join(module.path) + ("" if method == "__call__" else f":{method}")
        places[name] = (*module.scope.path, method)
        return name in endpoints

    mutable = kwargs.pop("mutable", False)
    stale = {"intermediates"} & set(variables)
    _, state = model.apply(
        {key: value for key, value in variables.items() if key not in stale},
        images,
        capture_intermediates=wanted,
        mutable=union_filters(mutable, "intermediates"),
        **kwargs,
    )
    calls = {
        path: _calls_of(state.get("intermediates", {}), path, places, model)
        for path in endpoints
    }
    return {path: calls[path] if every_call else calls[path][-1] for path in endpoints}


def _calls_of(
    outputs: PyTree, path: str, places: dict[str, tuple[str, ...]], model: nn.Module
) -> tuple[Any, ...]:
    """Returns what each call of an endpoint returned."""
    if path not in places:
        paths = [name for name in places if ":" not in name or ":" in path]
        raise ValueError(
            f"{type(model).__name__} calls no submodule {path!r}.{nearest(path, paths)}"
        )
    for part in places[path]:
        if part not in outputs:
            raise ValueError(
                f"{path!r} lies in a module that nn.scan, nn.vmap or the like lifts "
                "without the collection 'intermediates': give it "
                "variable_axes={'intermediates': 0, ...}, or capture what is around it."
            )
        outputs = outputs[part]
    return outputs
