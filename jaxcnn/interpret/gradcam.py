"""Class activation maps: Grad-CAM, Grad-CAM++, LayerCAM, HiResCAM and EigenCAM."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.interpret.default_layer import default_layer
from jaxcnn.interpret.injection import Layer, layers_of
from jaxcnn.interpret.scores import Target, prepare
from jaxcnn.layers.checks import check_choice
from jaxcnn.typing import Array, PyTree

#: What the images are multiplied by for `aug_smooth`, each turned round as well.
_BRIGHTNESS = (0.9, 1.0, 1.1)


def _grad_cam(layer: Layer) -> Array:
    axes = tuple(range(1, layer.gradients.ndim - 1))
    weights = layer.gradients.mean(axis=axes, keepdims=True)
    return (weights * layer.activations).sum(axis=-1)


def _grad_cam_plus_plus(layer: Layer) -> Array:
    # With the score as logarithm of the class's exponential its second and third
    # derivatives are powers of the first (equation 19), one of which cancels:
    # g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + sum(A) g).
    a, g = layer.activations, layer.gradients
    axes = tuple(range(1, g.ndim - 1))
    below = 2 + a.sum(axis=axes, keepdims=True) * g
    alpha = jnp.where((g != 0) & (below != 0), 1 / jnp.where(below == 0, 1, below), 0)
    weights = (alpha * jax.nn.relu(g)).sum(axis=axes, keepdims=True)
    return (weights * a).sum(axis=-1)


def _layer_cam(layer: Layer) -> Array:
    return (jax.nn.relu(layer.gradients) * layer.activations).sum(axis=-1)


def _hires_cam(layer: Layer) -> Array:
    return (layer.gradients * layer.activations).sum(axis=-1)


def _eigen_cam(layer: Layer) -> Array:
    """Returns positions on the first principal axis of the channels.

    The axis has no sign of its own; it gets that of its larger side.
    """
    a = layer.activations
    flat = a.reshape(len(a), -1, a.shape[-1])
    flat = flat - flat.mean(axis=1, keepdims=True)
    # Of the two square matrices the smaller has the same values.
    if flat.shape[1] > flat.shape[2]:
        products = jnp.einsum("bpc,bpd->bcd", flat, flat, precision="highest")
        axis = jnp.linalg.eigh(products)[1][..., -1]
        along = jnp.einsum("bpc,bc->bp", flat, axis, precision="highest")
    else:
        products = jnp.einsum("bpc,bqc->bpq", flat, flat, precision="highest")
        values, vectors = jnp.linalg.eigh(products)
        along = vectors[..., -1] * jnp.sqrt(jnp.maximum(values[..., -1:], 0))
    turned = -along.min(axis=1, keepdims=True) > along.max(axis=1, keepdims=True)
    return jnp.where(turned, -along, along).reshape(a.shape[:-1])


#: The map of a layer, `[batch, ...]`, before what is negative is cut off.
CAMS: dict[str, Callable[[Layer], Array]] = {
    "grad_cam": _grad_cam,
    "grad_cam_plus_plus": _grad_cam_plus_plus,
    "layer_cam": _layer_cam,
    "hires_cam": _hires_cam,
    "eigen_cam": _eigen_cam,
}


def class_activation_map(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    method: str = "grad_cam",
    layers: str | Sequence[str] | None = None,
    normalize: bool = True,
    aug_smooth: bool = False,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    """Returns where in each image a layer saw the target.

    The layer's map is cut off at 0, brought to [0, 1] and resized to the image
    (linear). Maps of several layers are averaged, and brought to [0, 1] again. A map
    that is nowhere above its lowest value, such as that of a dead layer, is 0: nothing
    is divided by 0.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`, of any number of spatial axes.
        target: A class for all, `[batch]` classes, a function of what the model returns
            that gives `[batch]` numbers, or None for the class each image is given.
        method: One of `CAMS`.
        layers: Path of a submodule, or several; by default `default_layer`.
        normalize: Whether maps are brought to [0, 1]; if not they are cut off at 0 and
            resized, and keep their unit.
        aug_smooth: Whether maps are averaged over images at 0.9, 1 and 1.1 of their
            values and over mirrored ones (along the last spatial axis): six passes.
        preprocess: Applied first; without one, integers are divided by their type's
            maximum.

    Returns:
        `[batch, ...]`, one number a position.

    Raises:
        ValueError: if the method or a layer is unknown (the nearest is named), a layer
            returns no map, the model has none, or as `input_gradient`.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> images = jnp.ones((2, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> maps = class_activation_map(model, variables, images, 3, layers="conv2")
        >>> maps.shape
        (2, 28, 28)
    """
    check_choice("method", method, CAMS)
    images = prepare(images, preprocess)
    if layers is None:
        layers = default_layer(model, variables, images)
    paths = [layers] if isinstance(layers, str) else list(layers)
    if not paths:
        raise ValueError("layers must name at least one submodule.")

    def maps(images: Array) -> Array:
        return _map(
            model, variables, images, target, method, paths, normalize=normalize
        )

    if not aug_smooth:
        return maps(images)
    views = [(factor, turn) for turn in (False, True) for factor in _BRIGHTNESS]
    axis = images.ndim - 2
    found = [
        jnp.flip(maps(factor * jnp.flip(images, axis)), axis)
        if turn
        else maps(factor * images)
        for factor, turn in views
    ]
    return sum(found) / len(found)


def _map(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target,
    method: str,
    paths: list[str],
    *,
    normalize: bool,
) -> Array:
    shape = images.shape[:-1]
    found = []
    for path, layer in layers_of(model, variables, images, target, paths).items():
        if layer.activations.ndim != images.ndim:
            raise ValueError(
                f"The output of {path!r}, {list(layer.activations.shape)}, is no map "
                f"of images {list(images.shape)}."
            )
        cam = jax.nn.relu(CAMS[method](layer))
        cam = unit_range(cam) if normalize else cam
        found.append(jax.image.resize(cam, shape, "linear", antialias=False))
    mean = sum(found) / len(found)
    return unit_range(mean) if normalize else mean


def unit_range(maps: Array) -> Array:
    """Returns every map brought to [0, 1]; one that is constant becomes 0.

    Example:
        >>> unit_range(jnp.array([[1.0, 3.0, 2.0], [7.0, 7.0, 7.0]])).tolist()
        [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    """
    axes = tuple(range(1, maps.ndim))
    maps = maps - maps.min(axis=axes, keepdims=True)
    highest = maps.max(axis=axes, keepdims=True)
    return maps / jnp.where(highest > 0, highest, 1)


def grad_cam(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    **options: Any,
) -> Array:
    """Returns the map of Grad-CAM: channels weighted by their mean gradient.

    Args:
        model: As for `class_activation_map`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: What is explained.
        **options: `layers`, `normalize`, `aug_smooth`, `preprocess`.

    Raises:
        ValueError: as `class_activation_map`.

    References:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks", ICCV 2017,
        section 3, https://arxiv.org/abs/1610.02391.
    """
    return class_activation_map(
        model, variables, images, target, method="grad_cam", **options
    )


def grad_cam_plus_plus(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    **options: Any,
) -> Array:
    """Returns the map of Grad-CAM++: positive gradients, weighted by curvature.

    Args:
        model: As for `class_activation_map`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: What is explained.
        **options: `layers`, `normalize`, `aug_smooth`, `preprocess`.

    Raises:
        ValueError: as `class_activation_map`.

    References:
        Chattopadhay et al., "Grad-CAM++", WACV 2018, section 3.2,
        https://arxiv.org/abs/1710.11063.
    """
    return class_activation_map(
        model, variables, images, target, method="grad_cam_plus_plus", **options
    )


def layer_cam(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    **options: Any,
) -> Array:
    """Returns the map of LayerCAM: each position has its own positive weight.

    Args:
        model: As for `class_activation_map`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: What is explained.
        **options: `layers`, `normalize`, `aug_smooth`, `preprocess`.

    Raises:
        ValueError: as `class_activation_map`.

    References:
        Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization", IEEE TIP 2021, section III.B,
        https://doi.org/10.1109/TIP.2021.3089943.
    """
    return class_activation_map(
        model, variables, images, target, method="layer_cam", **options
    )


def hires_cam(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    **options: Any,
) -> Array:
    """Returns the map of HiResCAM: each position has its own weight, signed.

    Args:
        model: As for `class_activation_map`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: What is explained.
        **options: `layers`, `normalize`, `aug_smooth`, `preprocess`.

    Raises:
        ValueError: as `class_activation_map`.

    References:
        Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations
        of convolutional neural networks", 2020, section 3.2,
        https://arxiv.org/abs/2011.08891.
    """
    return class_activation_map(
        model, variables, images, target, method="hires_cam", **options
    )


def eigen_cam(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    **options: Any,
) -> Array:
    """Returns the map of EigenCAM: the first principal component, of no class.

    Args:
        model: As for `class_activation_map`, and all that follows.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: What is explained.
        **options: `layers`, `normalize`, `aug_smooth`, `preprocess`.

    Raises:
        ValueError: as `class_activation_map`.

    References:
        Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal
        Components", IJCNN 2020, section III, https://arxiv.org/abs/2008.00299.
    """
    return class_activation_map(
        model, variables, images, target, method="eigen_cam", **options
    )
