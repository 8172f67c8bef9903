"""Weights of another library as the variables of a model of ours."""

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from jaxcnn.models.key_map import KeyMap, key_maps
from jaxcnn.tree import flatten_named
from jaxcnn.typing import PyTree

# Ours to theirs; convolution kernels and dense ones are turned as well.
_LEAVES = {
    "torch": {
        "kernel": ".weight",
        "scale": ".weight",
        "alpha": ".weight",
        "bias": ".bias",
        "mean": ".running_mean",
        "var": ".running_var",
    },
    "keras": {
        "kernel": "/kernel",
        "scale": "/gamma",
        "bias": "/bias",
        "mean": "/moving_mean",
        "var": "/moving_variance",
    },
    "caffe": {"kernel": "/w", "bias": "/b"},
}


@dataclasses.dataclass(frozen=True)
class Converted:
    """What `convert_weights` found.

    Attributes:
        variables: The model's variables; leaves that are missing or of another shape
            are left out.
        missing: Our name and the expected key of each leaf the file has not.
        unexpected: Keys of the file that no leaf of ours takes.
        mismatched: Our name, the shape found and the shape needed.
        ignored: Keys that the map says to leave out, such as auxiliary heads.
    """

    variables: PyTree
    missing: dict[str, str]
    unexpected: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    ignored: tuple[str, ...]


def convert_weights(
    model: nn.Module, shapes: PyTree, arrays: Mapping[str, np.ndarray], source: str
) -> Converted:
    """Returns the variables of `model` from the named arrays of another library.

    Args:
        model: A model of a family that has a map for `source`.
        shapes: Its variables as `jax.eval_shape(model.init, ...)` gives them, or a
            part of these, such as `{"params": ...}` to convert gradients.
        arrays: The other library's weights by its own names.
        source: A key of `key_maps(model)`.
    """
    key_map = key_maps(model)[source]
    flat: dict[str, np.ndarray] = {}
    missing: dict[str, str] = {}
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    used = set()
    for name, leaf in flatten_named(shapes).items():
        path, _, kind = name.partition("/")[2].rpartition("/")
        key = _key(path, kind, key_map, model)
        if key not in arrays:
            missing[name] = key
            continue
        used.add(key)
        array = _arrange(np.asarray(arrays[key]), leaf.shape, path, kind, key_map)
        if array.shape == leaf.shape:
            flat[name] = array
        else:
            mismatched[name] = (array.shape, leaf.shape)
    left = [
        key
        for key in arrays
        if key not in used and not key.endswith(".num_batches_tracked")
    ]
    ignored = {
        key for key in left if key_map.ignored and re.match(key_map.ignored, key)
    }
    return Converted(
        variables=unflatten_dict(flat, sep="/"),
        missing=missing,
        unexpected=tuple(key for key in left if key not in ignored),
        mismatched=mismatched,
        ignored=tuple(sorted(ignored)),
    )


def recognise_source(
    model: nn.Module, shapes: PyTree, arrays: Mapping[str, np.ndarray]
) -> str | None:
    """Returns the source of the map by which most leaves fit; None if none is found.

    A leaf that is found in another shape fits less than one that is found, so that
    references of the same names are told apart.
    """
    tried = {
        source: convert_weights(model, shapes, arrays, source)
        for source in key_maps(model)
    }
    leaves = len(flatten_named(shapes))
    unfit = {
        source: (len(found.missing), len(found.mismatched), len(found.unexpected))
        for source, found in tried.items()
        if len(found.missing) < leaves
    }
    return min(unfit, key=unfit.__getitem__, default=None)


def _key(path: str, kind: str, key_map: KeyMap, model: nn.Module) -> str:
    """Returns the reference's key for a leaf of ours."""
    theirs = key_map.rename(path, model)
    if theirs.endswith("_kernel"):  # Keras's separable convolutions hold two
        return theirs
    if key_map.layout == "keras" and kind == "bias" and "norm" in path.split("/")[-1]:
        return f"{theirs}/beta"
    return theirs + _LEAVES[key_map.layout][kind]


def _arrange(
    array: np.ndarray, shape: tuple[int, ...], path: str, kind: str, key_map: KeyMap
) -> np.ndarray:
    """Returns an array of the reference with its axes in our order.

    `shape` is that of our leaf: a 1x1 convolution of theirs may be a dense layer of
    ours, or the other way round, and Keras's depthwise kernels have the channels on
    the axis before the last.
    """
    if kind != "kernel" or array.ndim < 2:
        return array
    if key_map.layout == "torch":
        flattened = key_map.flattens.get(path, ())
        if flattened and array.shape[1:] == (math.prod(flattened),):
            array = array.reshape(len(array), *flattened)
            array = np.moveaxis(array, 1, -1).reshape(len(array), math.prod(flattened))
        array = np.moveaxis(array, (0, 1), (-1, -2))
    *spatial, inputs, outputs = array.shape
    if array.ndim != len(shape) and math.prod(spatial) == 1:
        return array.reshape((1,) * (len(shape) - 2) + (inputs, outputs))
    if array.ndim != len(shape) == 2:  # a convolution of theirs over a whole map
        return array.reshape(-1, outputs)
    if key_map.layout == "keras" and shape == (*spatial, 1, inputs * outputs):
        return array.reshape(shape)
    return array
