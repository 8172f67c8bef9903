"""The layer of a model whose map shows where a class was seen."""

import math
from typing import Any

import jax
from flax import linen as nn

from jaxcnn.interpret.scores import call_options
from jaxcnn.models.cut import WithHead
from jaxcnn.models.densenet import DenseNet
from jaxcnn.models.features import capture, endpoint_paths, has_endpoints
from jaxcnn.models.resnet_v2 import ResNetV2
from jaxcnn.models.resnet_v2_cifar import CifarResNetV2
from jaxcnn.typing import Array, PyTree

#: Families whose endpoints are sums that a last norm has yet to see: its output. Of
#: DenseNet it is `features[-1]`, which pytorch-grad-cam's README names.
_LAST_NORM: dict[type[nn.Module], str] = {
    DenseNet: "norm",
    ResNetV2: "norm",
    CifarResNetV2: "norm",
}


def default_layer(model: nn.Module, variables: PyTree, images: Array) -> str:
    """Returns the path of the last submodule whose output still has positions.

    Of the registry's families it is the last endpoint (`feature_info`), activation
    included, or the norm behind it where the family has one: what pytorch-grad-cam's
    README names for ResNet (`layer4[-1]`), DenseNet and MobileNet (`features[-1]`),
    and for VGG what its last pool gets. Of any other module it is the last submodule
    that returns a map. An output of a single position, as small images leave it, shows
    no place and is passed over.

    Args:
        model: Any Linen module.
        variables: Its variables; shapes suffice.
        images: As the model gets them; shapes suffice.

    Raises:
        ValueError: if no submodule returns a map, as in a model of dense layers.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("resnet18")
        >>> images = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> default_layer(model, variables, images)
        'stage4_block2'
    """
    maps = _maps(model, variables, images)
    body = model.body if isinstance(model, WithHead) else model
    # The call of a model that is cut ends inside of its last submodule.
    whole = body is model or not model.cut_at
    known = endpoint_paths(body) if whole and has_endpoints(body) else []
    norms = [path for kind, path in _LAST_NORM.items() if isinstance(body, kind)]
    found = [path for path in [*known, *norms] if path in maps] or list(maps)
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no submodule that returns more than one "
            f"position for images {list(images.shape)}: no layer for a class "
            "activation map."
        )
    return found[-1]


def _maps(model: nn.Module, variables: PyTree, images: Any) -> dict[str, None]:
    """Returns the paths of submodules that return maps, in the order they return."""
    found: dict[str, None] = {}

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        if context.method_name != "__call__" or context.module.scope is None:
            return output
        path, shape = "/".join(context.module.path), getattr(output, "shape", ())
        found.pop(path, None)
        if path and len(shape) == len(images.shape) and math.prod(shape[1:-1]) > 1:
            found[path] = None
        return output

    options = call_options(model)
    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda v, x: capture(model, v, x, [""], **options)[""], variables, images
        )
    return found
