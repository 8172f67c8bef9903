"""All attributions by name, each as one number a position."""

from collections.abc import Callable, Sequence

import jax
from flax import linen as nn
from jax.typing import ArrayLike

from jaxcnn.interpret.gradcam import CAMS, class_activation_map
from jaxcnn.interpret.guided import guided_backpropagation
from jaxcnn.interpret.integrated_gradients import integrated_gradients
from jaxcnn.interpret.occlusion import occlusion
from jaxcnn.interpret.saliency import (
    gradient_times_input,
    pixel_map,
    saliency,
    smooth_grad,
)
from jaxcnn.interpret.scores import Target, prepare
from jaxcnn.named import call_named
from jaxcnn.typing import Array, PyTree

#: What is explained: model, variables, images as the model gets them, target.
_Asked = tuple[nn.Module, PyTree, Array, Target]

#: Methods whose maps are signed: negative where a position speaks against the target.
SIGNED = frozenset({"gradient_times_input", "integrated_gradients", "occlusion"})


def _saliency(asked: _Asked) -> Array:
    return pixel_map(saliency(*asked))


def _gradient_times_input(asked: _Asked) -> Array:
    return pixel_map(gradient_times_input(*asked), "sum")


def _smooth_grad(
    asked: _Asked,
    *,
    samples: int = 50,
    noise: float = 0.15,
    square: bool = False,
    batch_size: int = 64,
    seed: int = 0,
) -> Array:
    model, variables, images, target = asked
    options = {"samples": samples, "noise": noise, "square": square}
    options |= {"batch_size": batch_size}
    key = jax.random.key(seed)
    return pixel_map(smooth_grad(model, variables, images, key, target, **options))


def _guided_backpropagation(asked: _Asked, *, smooth: bool | None = None) -> Array:
    return pixel_map(guided_backpropagation(*asked, smooth=smooth))


def _integrated_gradients(
    asked: _Asked,
    *,
    baseline: ArrayLike = 0.0,
    steps: int = 50,
    rule: str = "gauss_legendre",
    batch_size: int = 64,
) -> Array:
    options = {"baseline": baseline, "steps": steps, "rule": rule}
    found = integrated_gradients(*asked, **options, batch_size=batch_size)
    return pixel_map(found.attributions, "sum")


def _occlusion(
    asked: _Asked,
    *,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: ArrayLike = 0.0,
    batch_size: int = 64,
) -> Array:
    options = {"window": window, "stride": stride, "baseline": baseline}
    return occlusion(*asked, **options, batch_size=batch_size)


def _cam(method: str) -> Callable[..., Array]:
    def cam(
        asked: _Asked,
        *,
        layers: str | Sequence[str] | None = None,
        aug_smooth: bool = False,
    ) -> Array:
        return class_activation_map(
            *asked, method=method, layers=layers, aug_smooth=aug_smooth
        )

    return cam


#: Maps `[batch, ...]` of what is asked: the largest channel of what has no sign, the
#: sum over channels of what has one.
METHODS: dict[str, Callable[..., Array]] = {
    "saliency": _saliency,
    "gradient_times_input": _gradient_times_input,
    "smooth_grad": _smooth_grad,
    "guided_backpropagation": _guided_backpropagation,
    "integrated_gradients": _integrated_gradients,
    "occlusion": _occlusion,
    **{name: _cam(name) for name in CAMS},
}


def attribution_map(
    method: str,
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    preprocess: Callable[[Array], Array] | None = None,
    **options: object,
) -> Array:
    """Returns the map of a method by its name, one number a position.

    Args:
        method: One of `METHODS`.
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`.
        preprocess: As for `input_gradient`.
        **options: What the method takes besides, such as `steps=100` or
            `layers="conv2"`.

    Returns:
        `[batch, ...]`; signed for the methods in `SIGNED`, otherwise 0 or more.

    Raises:
        ValueError: if the method or an option is unknown (the nearest is named), or as
            the method itself.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> images = jnp.ones((2, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> attribution_map("layer_cam", model, variables, images, 3).shape
        (2, 28, 28)
    """
    asked = (model, variables, prepare(images, preprocess), target)
    return call_named("method", METHODS, method, asked, **options)
