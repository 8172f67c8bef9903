"""Does a map change when the weights do? It must, to say anything of the model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.interpret.attribution import METHODS, attribution_map
from jaxcnn.interpret.scores import Target, call_options, logits_of, prepare
from jaxcnn.layers.checks import check_choice
from jaxcnn.models.depth import Depth
from jaxcnn.train.forward import apply_model
from jaxcnn.tree import flatten_named, map_named
from jaxcnn.typing import Array, PyTree

#: From variables, images and classes to maps.
Explain = Callable[[PyTree, Array, Target], Array]


class Randomisation(NamedTuple):
    """What `randomised_weights_check` found.

    Attributes:
        parts: The outermost submodules from the head down, as they were drawn anew.
        correlation: Of the maps with those of the trained weights, `[parts, batch]`;
            near 0 where a map depends on the weights that were lost.
    """

    parts: tuple[str, ...]
    correlation: np.ndarray


def randomised_weights_check(
    method: str | Explain,
    model: nn.Module,
    variables: PyTree,
    images: Array,
    key: Array,
    target: Target = None,
    *,
    cascade: bool = True,
    preprocess: Callable[[Array], Array] | None = None,
    **options: object,
) -> Randomisation:
    """Returns how like the maps stay while the weights are drawn anew, from the top.

    The outermost submodules with parameters are drawn again as `model.init` does,
    their batch statistics too, from the head to the stem; the maps of the same classes
    are compared with those of the trained weights. A method whose maps stay alike to
    the end shows the image, such as its edges, not what the model learned.

    Args:
        method: A name of `METHODS`, or a function `(variables, images, target) ->
            maps` (compile it yourself).
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        key: Random key of the new weights.
        target: As for `input_gradient`; without one the class that the trained model
            gives each image.
        cascade: Whether what was drawn anew stays so; if not each submodule is drawn
            alone, the others as trained.
        preprocess: As for `input_gradient`.
        **options: Of the method.

    Raises:
        ValueError: if the method is unknown, or as the method itself.

    References:
        Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3,
        https://arxiv.org/abs/1810.03292.
    """
    images = prepare(images, preprocess)
    explain = _explain(method, model, options)
    if target is None:
        found = apply_model(model, variables, (images,), **call_options(model))
        target = jnp.argmax(logits_of(found, model), axis=-1)
    parts = _parts(model, variables, images)
    fresh = jax.jit(model.init)(key, images[:1])
    trained = explain(variables, images, target)
    rows, drawn = [], set()
    for part in parts:
        drawn = {*drawn, part} if cascade else {part}
        changed = explain(_redrawn(variables, fresh, drawn), images, target)
        rows.append(rank_correlation(jnp.abs(trained), jnp.abs(changed)))
    return Randomisation(tuple(parts), np.asarray(jnp.stack(rows)))


def _explain(method: str | Explain, model: nn.Module, options: dict) -> Explain:
    if callable(method):
        return method
    check_choice("method", method, METHODS)

    @jax.jit
    def explain(variables: PyTree, images: Array, target: Target) -> Array:
        return attribution_map(method, model, variables, images, target, **options)

    return explain


def _parts(model: nn.Module, variables: PyTree, images: Array) -> list[str]:
    """Returns the outermost submodules with parameters, the last called first."""
    owners = dict.fromkeys(n.split("/")[0] for n in flatten_named(variables["params"]))
    called = [path for path in Depth(model, images.shape[1:]).called if path in owners]
    return [*reversed(called), *(name for name in owners if name not in called)]


def _redrawn(variables: PyTree, fresh: PyTree, parts: set[str]) -> PyTree:
    """Returns the variables with those of some outermost submodules taken anew."""
    new = flatten_named(fresh)

    def chosen(name: str, leaf: Array) -> Array:
        own = name.split("/")[1] in parts  # behind the name of the collection
        return new[name].astype(leaf.dtype) if own and name in new else leaf

    return map_named(chosen, variables)


def rank_correlation(one: Array, other: Array) -> Array:
    """Returns Spearman's correlation of each pair of maps, `[batch]`.

    Equal values share the mean of their ranks. It is 0 where a map is constant, which
    goes with nothing.

    Args:
        one: `[batch, ...]`.
        other: Of the same shape.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> a = jnp.array([[1.0, 2.0, 3.0]])
        >>> rank_correlation(a, jnp.array([[1.0, 9.0, 10.0]])).tolist()
        [1.0]
    """
    if one.shape != other.shape:
        raise ValueError(
            f"maps of different shapes, {list(one.shape)} and {list(other.shape)}, "
            "cannot be compared."
        )
    a, b = (_centred_ranks(maps.reshape(len(maps), -1)) for maps in (one, other))
    norms = jnp.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return jnp.where(norms > 0, (a * b).sum(axis=1) / jnp.where(norms > 0, norms, 1), 0)


def _centred_ranks(values: Array) -> Array:
    """Returns the rank of every value in its row, less the mean rank."""

    def ranks(row: Array) -> Array:
        ordered = jnp.sort(row)
        first = jnp.searchsorted(ordered, row, side="left")
        behind = jnp.searchsorted(ordered, row, side="right")
        return (first + behind - len(row)).astype(jnp.float32) / (2 * len(row))

    return jax.vmap(ranks)(values)
