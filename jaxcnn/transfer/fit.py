"""Weights of a file as variables of a model, of other classes and channels if asked."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from jaxcnn.models.key_map import key_maps
from jaxcnn.registry import create_model
from jaxcnn.transfer.adapt import (
    adapt_input_kernel,
    channel_axes,
    class_axes,
    initial_leaves,
)
from jaxcnn.transfer.convert import Converted
from jaxcnn.transfer.match import (
    NATIVE,
    cut,
    differences,
    find_source,
    match_weights,
)
from jaxcnn.transfer.origin import Opened
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, PyTree

_log = logging.getLogger("jaxcnn")


@dataclasses.dataclass(frozen=True)
class Build:
    """Builds a model, and its shapes, for any number of classes and channels."""

    name: str
    options: dict[str, Any]
    image_shape: tuple[int, ...]
    known: dict[Any, PyTree] = dataclasses.field(default_factory=dict)

    def with_options(self, options: dict[str, Any]) -> "Build":
        """Returns the same for other options of the model."""
        if options == self.options:
            return self
        return Build(self.name, options, self.image_shape)

    def model(self, classes: int | None) -> nn.Module:
        """Returns the model; None leaves the number of classes to it."""
        extra = {} if classes is None else {"num_classes": classes}
        return create_model(self.name, **self.options, **extra)

    def images(self, channels: int) -> jax.ShapeDtypeStruct:
        """Returns the shape and type of a batch of one image."""
        shape = (1, *self.image_shape[:-1], channels)
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def shapes(self, channels: int, classes: int | None) -> PyTree:
        """Returns the shapes of the variables; seconds for a large model, so kept."""
        if (channels, classes) not in self.known:
            init = self.model(classes).init
            images = self.images(channels)
            shapes = jax.eval_shape(init, jax.random.key(0), images)
            self.known[channels, classes] = shapes
        return self.known[channels, classes]


@dataclasses.dataclass(frozen=True)
class Stored:
    """Weights as leaves of ours, with the classes and channels that they have.

    `options` are those that the model needs for them, beside its own.
    """

    leaves: dict[str, np.ndarray]
    classes: int | None
    channels: int
    label: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_stored(
    build: Build, opened: Opened, source: str | None, *, headless: bool
) -> Stored:
    """Returns the leaves of a file of any number of classes and channels.

    The model is first taken with its own numbers; where leaves then differ in an axis
    that depends on such a number, the file says what that is.

    Args:
        build: Builds the model.
        opened: The arrays.
        source: Whose names they have, if the caller knows.
        headless: Whether the head may be missing.
    """
    model = build.model(None)
    channels, classes = build.image_shape[-1], getattr(model, "num_classes", None)
    if opened.config is not None and opened.config.num_classes is not None:
        classes = opened.config.num_classes
        model = build.model(classes)
    shapes = build.shapes(channels, classes)
    arrays = opened.arrays
    source = find_source(model, shapes, arrays, build.name, source or opened.source)
    _log.info("%s: weights of %s, named as %s's", build.name, opened.label, source)
    found = match_weights(model, shapes, arrays, source)
    head: Mapping[str, int] = {}
    if found.mismatched or (found.missing and headless):
        head = class_axes(build.shapes, channels, classes) if classes else {}
        stem = channel_axes(build.shapes, channels, classes)
        channels = _stored_number(found, stem, channels)
        classes = _stored_number(found, head, classes)
        model, shapes = build.model(classes), build.shapes(channels, classes)
        found = match_weights(model, shapes, arrays, source)
    if headless:
        missing = {n: key for n, key in found.missing.items() if n not in head}
        found = dataclasses.replace(found, missing=missing)
    _check(found, build, opened.label, source)
    if found.ignored:
        _log.warning(
            "%s: left out of %s, as the model has no such part: %s",
            build.name,
            opened.label,
            cut(found.ignored),
        )
    options = {} if source == NATIVE else key_maps(model)[source].options(model)
    leaves = flatten_named(found.variables)
    return Stored(leaves, classes, channels, opened.label, options)


def _stored_number(found: Converted, axes: Mapping[str, int], default: Any) -> Any:
    """Returns the number that a file has on an axis, by the first leaf that shows."""
    for name, axis in axes.items():
        shape, needed = found.mismatched.get(name, ((), ()))
        if len(shape) == len(needed) > 0:
            return shape[axis]
    return default


def _check(found: Converted, build: Build, label: str, source: str) -> None:
    lines = differences(found)
    if not lines:
        return
    shape = "x".join(map(str, build.image_shape[:-1]))
    hint = f"\nShapes are for images of {shape}; give image_size if they are others."
    raise ValueError(
        f"{label}, read as {source}'s names, does not fit {build.name}:\n"
        + "\n".join(lines)
        + (hint if found.mismatched else "")
    )


def fit_variables(
    build: Build, stored: Stored, classes: int | None, channels: int, key: Any
) -> PyTree:
    """Returns the variables for the classes and channels that are asked for."""
    target = flatten_named(build.shapes(channels, classes))
    same = {
        name
        for name, leaf in target.items()
        if name in stored.leaves and stored.leaves[name].shape == leaf.shape
    }
    stem: Mapping[str, int] = {}
    if channels != stored.channels:
        stem = channel_axes(build.shapes, channels, classes)
    leaves = {
        name: jnp.asarray(stored.leaves[name], target[name].dtype) for name in same
    }
    for name in stem:
        leaves[name] = _adapted(name, stored, target[name], channels)
    new = [name for name in target if name not in leaves]
    if new:
        _log.warning(
            "%s: %s start anew, for %s classes; %s has %s",
            build.name,
            cut(new),
            classes,
            stored.label,
            stored.classes if new[0] in stored.leaves else "none",
        )
        key = jax.random.key(0) if key is None else key
        leaves |= initial_leaves(build.model(classes), build.images(channels), new, key)
    return unflatten_dict({name: leaves[name] for name in target}, sep="/")


def _adapted(name: str, stored: Stored, leaf: Any, channels: int) -> Array:
    kernel = stored.leaves[name]
    axis_fits = kernel.ndim == leaf.ndim and kernel.ndim > 2
    if not axis_fits or kernel.shape[-2] != stored.channels:
        raise ValueError(
            f"in_channels={channels}: {name} of shape {kernel.shape} is no convolution "
            f"over the {stored.channels} channels of {stored.label}; leave in_channels "
            "out."
        )
    _log.warning("%s adapted from %d to %d channels", name, stored.channels, channels)
    return jnp.asarray(adapt_input_kernel(kernel, channels), leaf.dtype)
