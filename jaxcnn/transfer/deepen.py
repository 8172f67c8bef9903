"""A deeper network that computes what a trained one computes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxcnn.layers.activation import make_activation
from jaxcnn.layers.checks import check_number
from jaxcnn.layers.conv import conv_padding
from jaxcnn.models.cnn import Cnn
from jaxcnn.models.resnet import BasicBlock, Bottleneck, ResNet
from jaxcnn.models.resnet_cifar import CifarResNet
from jaxcnn.models.resnet_v2 import PreActBasicBlock, PreActBottleneck, ResNetV2
from jaxcnn.models.resnet_v2_cifar import CifarResNetV2
from jaxcnn.typing import Array, PyTree

#: f(f(x)) = f(x), so that one more of them behind an identity changes nothing.
_IDEMPOTENT = ("relu", "relu6", "identity")

#: The part of a block that, set to zero, makes the block its shortcut: the norm behind
#: the last convolution, or, where norms come first, that convolution itself.
_LAST = {
    BasicBlock: ("conv2", "norm"),
    Bottleneck: ("expand", "norm"),
    PreActBasicBlock: ("conv2",),
    PreActBottleneck: ("expand",),
}

_Leaves = dict[tuple[str, ...], Any]


def deepen(
    model: nn.Module,
    variables: PyTree,
    *,
    blocks: int = 1,
    stages: Sequence[int] | None = None,
    key: Array | None = None,
) -> tuple[nn.Module, PyTree]:
    """Returns a deeper model, and variables with which it computes the same function.

    In evaluation the outputs are equal up to rounding, and training goes on from there.

    Residual networks get blocks at the end of their stages, drawn as always but for the
    last scale, which is zero: the branch adds nothing, and the ReLU behind the sum
    changes nothing of what a ReLU gave. Where norms come first, in the pre-activation
    networks, the last kernel is zero. That holds in training too.

    A `Cnn` gets convolutions at the end of its stages, whose kernels pass each channel
    on, before an activation that changes nothing the second time. A BatchNorm between
    the two takes the mean and the variance that its input has if what comes out of the
    BatchNorm before is normally distributed, and undoes them by its scale and bias.
    Where the statistics of a batch are others, the function in training differs.

    Args:
        model: A `ResNet`, `CifarResNet`, `ResNetV2` or `CifarResNetV2` with blocks of
            this library, or a `Cnn` with ReLU (or ReLU6, or no activation), BatchNorm
            before it or no norm, and padding that keeps the size.
        variables: Its variables.
        blocks: Blocks, or convolutions, that each stage gets.
        stages: Which stages get them, counted from 1; all by default. A `CifarResNet`
            has as many blocks in each stage, so that all is what it takes.
        key: Draws the branches of the new residual blocks; `jax.random.key(0)` by
            default.

    Raises:
        ValueError: if the model is of another kind or does not start new layers as the
            identity, a stage does not exist, or the variables are another model's.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("cnn", features=(4,))
        >>> images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> deeper, more = deepen(model, variables, blocks=2)
        >>> deeper.convs_per_stage
        (3,)
        >>> before, after = model.apply(variables, images), deeper.apply(more, images)
        >>> bool(jnp.allclose(before, after, atol=1e-6))
        True

    References:
        Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge
        Transfer", ICLR 2016, section 2.4 (Net2DeeperNet),
        https://arxiv.org/abs/1511.05641. Goyal et al., "Accurate, Large Minibatch SGD",
        2017, section 5.1 (the zero scale), https://arxiv.org/abs/1706.02677.
    """
    check_number("blocks", blocks, 1)
    known = next((cls for cls in _KINDS if type(model) is cls), None)
    if known is None:
        raise ValueError(
            f"deepen knows {', '.join(cls.__name__ for cls in _KINDS)}; a "
            f"{type(model).__name__} has no blocks that it can start as the identity."
        )
    leaves = flatten_dict(dict(variables))
    key = jax.random.key(0) if key is None else key
    deeper, new = _KINDS[known](model, leaves, blocks, stages, key)
    return deeper, unflatten_dict({**leaves, **new})


def _resnet(
    model: ResNet | ResNetV2, leaves: _Leaves, blocks: int, stages: Any, key: Array
) -> tuple[nn.Module, _Leaves]:
    sizes = list(model.stage_sizes)
    for stage in _stages(stages, len(sizes)):
        sizes[stage - 1] += blocks
    deeper = model.clone(stage_sizes=tuple(sizes))
    return deeper, _residual(model, deeper, leaves, key)


def _resnet_cifar(
    model: Any, leaves: _Leaves, blocks: int, stages: Any, key: Array
) -> tuple[nn.Module, _Leaves]:
    if _stages(stages, 3) != [1, 2, 3]:
        raise ValueError(
            f"stages={stages!r}: a {type(model).__name__} has as many blocks in each "
            "stage; deepen all three."
        )
    deeper = model.clone(blocks_per_stage=model.blocks_per_stage + blocks)
    return deeper, _residual(model, deeper, leaves, key)


def _residual(model: Any, deeper: nn.Module, leaves: _Leaves, key: Array) -> _Leaves:
    """Returns the leaves of the new blocks, drawn, with the last norm at zero."""
    if model.block not in _LAST:
        raise ValueError(
            f"deepen knows the blocks {', '.join(each.__name__ for each in _LAST)}, "
            f"not {getattr(model.block, '__name__', model.block)!r}."
        )
    last = _LAST[model.block]
    if model.shortcut not in ("projection", "identity", "pad", "A", "B"):
        raise ValueError(
            f"A block with shortcut={model.shortcut!r} cannot start as the identity."
        )
    conv = () if isinstance(model, (ResNetV2, CifarResNetV2)) else ("conv",)
    stem = _leaf(leaves, "params", "stem", *conv, "kernel")
    images = jnp.zeros((1, 32, 32, stem.shape[-2]))
    shapes = _shapes(model, images)
    _check_same(leaves, shapes)
    new = sorted(set(_shapes(deeper, images)) - set(shapes))

    @jax.jit
    def draw(key: Array) -> list[Array]:
        drawn = flatten_dict(dict(deeper.init(key, images)))
        return [drawn[path] for path in new]

    drawn = dict(zip(new, draw(key), strict=True))
    for path, leaf in drawn.items():
        if path[0] == "params" and path[-1 - len(last) : -1] == last:
            drawn[path] = jnp.zeros_like(leaf)  # bias and all: the branch adds 0
    return drawn


def _shapes(model: nn.Module, images: Array) -> _Leaves:
    return flatten_dict(dict(jax.eval_shape(model.init, jax.random.key(0), images)))


def _cnn(
    model: Cnn, leaves: _Leaves, blocks: int, stages: Any, key: Array
) -> tuple[Cnn, _Leaves]:
    _check_cnn(model)
    count = len(model.features)
    for stage in _stages(stages, count):
        _check_padding(model, _kernel_size(model, stage))
    convs = model.convs_per_stage
    convs = [convs] * count if isinstance(convs, int) else list(convs)
    new: _Leaves = {}
    for stage in _stages(stages, count):
        first = convs[stage - 1]
        kernel = _leaf(leaves, "params", f"stage{stage}_conv{first}", "kernel")
        size = _kernel_size(model, stage)
        norm = f"stage{stage}_norm{first}"
        for number in range(first + 1, first + blocks + 1):
            new |= _identity_conv(model, stage, number, kernel, size)
            if model.norm == "batch":
                name = f"stage{stage}_norm{number}"
                new |= _identity_norm(model, leaves, norm, name)
        convs[stage - 1] += blocks
    return model.clone(convs_per_stage=tuple(convs)), new


def _identity_conv(
    model: Cnn, stage: int, number: int, like: Array, size: int
) -> _Leaves:
    """Returns a convolution that passes each channel on: one tap is the identity."""
    features = like.shape[-1]
    middle = (conv_padding(model.padding, (size,))[0][0],) * model.rank
    kernel = jnp.zeros((*(size,) * model.rank, features, features), like.dtype)
    path = ("params", f"stage{stage}_conv{number}")
    new = {
        (*path, "kernel"): kernel.at[middle].set(jnp.eye(features, dtype=like.dtype))
    }
    if model.norm is None:
        new[*path, "bias"] = jnp.zeros(features, like.dtype)
    return new


def _identity_norm(model: Cnn, leaves: _Leaves, before: str, name: str) -> _Leaves:
    """Returns a BatchNorm that undoes the statistics that its input will have.

    The BatchNorm before gives every channel the mean and deviation that its bias and
    scale say; of the normal distribution that has these the activation is taken.
    """
    bias = _leaf(leaves, "params", before, "bias")
    scale = _leaf(leaves, "params", before, "scale")
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    weights = weights / math.sqrt(2 * math.pi)
    values = np.asarray(bias)[:, None] + np.asarray(scale)[:, None] * nodes
    values = np.asarray(make_activation(model.activation)(jnp.asarray(values)))
    mean = values @ weights
    var = np.maximum((values - mean[:, None]) ** 2 @ weights, 0)
    epsilon = 1e-5  # of jaxcnn.layers.batch_norm
    arrays = {
        ("params", name, "scale"): np.sqrt(var + epsilon),
        ("params", name, "bias"): mean,
        ("batch_stats", name, "mean"): mean,
        ("batch_stats", name, "var"): var,
    }
    return {path: jnp.asarray(value, jnp.float32) for path, value in arrays.items()}


def _check_cnn(model: Cnn) -> None:
    functions = [make_activation(name) for name in _IDEMPOTENT]
    known = [*_IDEMPOTENT, *functions, jax.nn.relu, jax.nn.relu6]
    if model.activation not in known:
        raise ValueError(
            f"deepen needs an activation that changes nothing the second time, "
            f"{' or '.join(map(repr, _IDEMPOTENT))}, got {model.activation!r}."
        )
    if model.norm not in (None, "batch"):
        raise ValueError(
            f"norm={model.norm!r} normalises by what each example holds, so that no "
            "new layer with it is the identity; deepen takes 'batch' or none."
        )
    if model.norm and model.norm_position == "after":
        raise ValueError(
            "norm_position='after': the activation of a new layer would cut off what "
            "is negative; deepen takes 'before'."
        )


def _check_padding(model: Cnn, size: int) -> None:
    """Raises unless a convolution of that size keeps the size of its input."""
    strided = model.pool == "stride" and model.padding == "tensorflow"
    if strided or sum(conv_padding(model.padding, (size,))[0]) != size - 1:
        raise ValueError(
            f"padding={model.padding!r} with a kernel of {size} does not keep the "
            "size, so that no new convolution is the identity; 'same' does."
        )


def _kernel_size(model: Cnn, stage: int) -> int:
    size = model.kernel_size
    return size if isinstance(size, int) else size[stage - 1]


def _stages(stages: Sequence[int] | None, count: int) -> list[int]:
    if stages is None:
        return list(range(1, count + 1))
    if not stages or any(stage not in range(1, count + 1) for stage in stages):
        raise ValueError(
            f"stages must be some of {list(range(1, count + 1))}, got {stages!r}."
        )
    return sorted(set(stages))


def _leaf(leaves: _Leaves, *path: str) -> Array:
    if path not in leaves:
        raise ValueError(f"The variables are another model's: no {'/'.join(path)}.")
    return leaves[path]


def _check_same(leaves: _Leaves, shapes: _Leaves) -> None:
    for path, leaf in shapes.items():
        if _leaf(leaves, *path).shape != leaf.shape:
            raise ValueError(
                f"The variables are another model's: {'/'.join(path)} has shape "
                f"{tuple(leaves[path].shape)}, not {tuple(leaf.shape)}."
            )


_KINDS: dict[type[nn.Module], Callable[..., tuple[Any, _Leaves]]] = {
    ResNet: _resnet,
    ResNetV2: _resnet,
    CifarResNet: _resnet_cifar,
    CifarResNetV2: _resnet_cifar,
    Cnn: _cnn,
}
