"""Outputs of submodules and the gradients that reach them, by path, from one pass."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.interpret.scores import Target, call_options, logits_of, pick
from jaxcnn.models.features import capture
from jaxcnn.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Layer:
    """An output of a submodule.

    Attributes:
        activations: What it returned, `[batch, ..., channels]`.
        gradients: Of each image's score by that.
    """

    activations: Array
    gradients: Array


def layers_of(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target,
    paths: Sequence[str],
) -> dict[str, Layer]:
    """Returns the outputs of submodules, and the gradients of the score by them.

    To each output zeros are added on its way, and the gradient is taken by these: so
    one pass forward and one back serve all paths, and what lies before the first of
    them is not differentiated. Of a submodule that is called several times it is the
    last call.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: As the model gets them.
        target: As for `make_score`.
        paths: Paths of submodules.

    Raises:
        ValueError: if a path is no submodule that is called, its output is no array,
            or it lies in a module that `nn.scan` or `nn.vmap` lifts.
    """
    shapes, calls = _outputs(model, variables, images, paths)
    zeros = {
        path: jnp.zeros(shape.shape, shape.dtype) for path, shape in shapes.items()
    }

    def total(added: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        with nn.intercept_methods(_Adder(model, added, calls)):
            found = capture(
                model, variables, images, [*paths, ""], **call_options(model)
            )
        chosen = target
        if chosen is None:
            logits = logits_of(found[""], model)
            chosen = jax.lax.stop_gradient(jnp.argmax(logits, axis=-1))
        return pick(found[""], chosen, model).sum(), found

    gradients, found = jax.grad(total, has_aux=True)(zeros)
    return {path: Layer(found[path], gradients[path]) for path in paths}


def _outputs(
    model: nn.Module, variables: PyTree, images: Array, paths: Sequence[str]
) -> tuple[dict[str, jax.ShapeDtypeStruct], dict[str, int]]:
    """Returns the shape of each output, and how often its submodule is called."""
    options = call_options(model)
    seen: dict[str, list[Any]] = collections.defaultdict(list)

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        path = _path_of(context)
        if path in paths:
            seen[path].append(getattr(output, "shape", None))
        return output

    def captured() -> dict[str, Any]:
        with nn.intercept_methods(note):
            return capture(model, variables, images, paths, every_call=True, **options)

    found = jax.eval_shape(captured)
    for path, outputs in found.items():
        output = outputs[-1]
        if not hasattr(output, "shape") or not jnp.issubdtype(
            output.dtype, jnp.inexact
        ):
            raise ValueError(f"The output of {path!r} is no array of floats.")
        if output.shape != seen[path][-1] or (
            len(seen[path]) != len(outputs) and len(outputs) > 1
        ):
            raise ValueError(
                f"{path!r} lies in a module that nn.scan, nn.vmap or the like lifts: "
                "the gradient at one of its calls cannot be taken; give what is around "
                "it."
            )
    return (
        {path: outputs[-1] for path, outputs in found.items()},
        {path: len(outputs) for path, outputs in found.items()},
    )


def _path_of(context: nn.module.InterceptorContext) -> str | None:
    """Returns the path of a module that is called, None for another method."""
    if context.method_name != "__call__" or context.module.scope is None:
        return None
    return "/".join(context.module.path)


class _Adder:
    """Adds arrays to the outputs of submodules while a model is called.

    A module that `nn.remat` lifts may be traced more often than it is called; then the
    array is added each time, and only one of the traces is used.
    """

    def __init__(
        self, model: nn.Module, added: dict[str, Array], calls: dict[str, int]
    ) -> None:
        self.model, self.added, self.calls = model, added, calls
        self.count: collections.Counter[str] = collections.Counter()

    def __call__(
        self,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        """Returns what the method does, with the array of its module added."""
        output = call(*args, **kwargs)
        path = _path_of(context)
        if path not in self.added:
            return output
        self.count[path] += 1
        if self.count[path] < self.calls[path]:
            return output
        return output + self.added[path]
