"""What an attribution explains: one number an image, made of what the model returns."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.data.preprocess import to_float
from jaxcnn.train.forward import apply_model
from jaxcnn.typing import Array, PyTree

#: A class for all images or `[batch]` classes; a function of what the model returns;
#: None for the class that each image is given.
Target = int | Array | Callable[[Any], Array] | None

#: From images as the model gets them to one number each, `[batch]`.
Score = Callable[[Array], Array]


def call_options(model: nn.Module) -> dict[str, bool]:
    """Returns `{"train": False}` if the model's call takes it, else nothing."""
    parameters = inspect.signature(type(model).__call__).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    takes_train = "train" in parameters or inspect.Parameter.VAR_KEYWORD in kinds
    return {"train": False} if takes_train else {}


def prepare(images: Array, preprocess: Callable[[Array], Array] | None) -> Array:
    """Returns images as the model gets them.

    Args:
        images: uint8, or floats.
        preprocess: What stands between stored pixels and the model; without one,
            integers are divided by their type's maximum and floats pass.
    """
    return (preprocess or to_float)(jnp.asarray(images))


def make_score(
    model: nn.Module, variables: PyTree, target: Target, images: Array
) -> Score:
    """Returns the function of images that an attribution explains.

    Batch statistics are the stored ones (`train=False`). Without a target it is the
    logit of the class that each of `images` is given now: it stays that class where
    the function is called with changed images.

    Args:
        model: Any Linen module.
        variables: Its variables.
        target: Class, `[batch]` classes, function of what the model returns, or None.
        images: As the model gets them.

    Raises:
        ValueError: if the model returns no logits and the target is no function, the
            class is none, or the function does not give one number an image.
    """
    options = call_options(model)

    def outputs(images: Array) -> Any:
        return apply_model(model, variables, (images,), **options)

    if target is None:
        logits = logits_of(outputs(images), model)
        target = jax.lax.stop_gradient(jnp.argmax(logits, axis=-1))
    return lambda images: pick(outputs(images), target, model)


def logits_of(outputs: Any, model: nn.Module) -> Array:
    """Returns the logits, `[batch, classes]`, among what a model returned.

    Raises:
        ValueError: if there are none.
    """
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs
    if getattr(logits, "ndim", None) != 2:
        shapes = [list(leaf.shape) for leaf in jax.tree.leaves(outputs)]
        raise ValueError(
            f"{type(model).__name__} returns {', '.join(map(str, shapes))}, no logits "
            "[batch, classes]: give as target a function of what it returns."
        )
    return logits


def pick(outputs: Any, target: Target, model: nn.Module) -> Array:
    """Returns the number of each image that the target asks for, `[batch]`.

    Raises:
        ValueError: as for `make_score`.
    """
    if callable(target):
        values = target(outputs)
        batch = jax.tree.leaves(outputs)[0].shape[0]
        if getattr(values, "shape", None) != (batch,):
            raise ValueError(
                "target(outputs) must give one number an image, "
                f"[{batch}], got {list(jnp.shape(values))}."
            )
        return values
    logits = logits_of(outputs, model)
    batch, classes = logits.shape
    chosen = _classes(target, batch, classes)
    return jnp.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]


def _classes(target: Any, batch: int, classes: int) -> Array:
    """Returns the class of every image, `[batch]`."""
    known = not isinstance(target, jax.core.Tracer)
    # Of NumPy: within a compiled function an array of JAX would be a tracer too.
    chosen = np.asarray(target) if known else target
    whole = jnp.issubdtype(chosen.dtype, jnp.integer)
    if not whole or chosen.shape not in [(), (batch,)]:
        raise ValueError(
            f"target must be a class, [{batch}] classes, a function of what the model "
            f"returns, or None, got {target!r}."
        )
    if known:
        outside = [int(c) for c in np.ravel(chosen) if not 0 <= c < classes]
        if outside:
            raise ValueError(
                f"target={outside[0]} is no class: there are 0 to {classes - 1}."
            )
    return jnp.broadcast_to(chosen, (batch,))
