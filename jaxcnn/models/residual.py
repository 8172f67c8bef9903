"""What the residual networks share: their shortcuts, and where each block stands.

A block computes a branch F of its input x and adds a shortcut. With h(x) = x where F
keeps the shape:

- `"projection"`: F(x) + h(x); where the shape changes h is a 1x1 convolution with the
  block's stride (option B of He et al., 2016a, section 3.3);
- `"identity"`: F(x) + h(x); where the shape changes h takes every stride-th pixel and
  gives the new channels zeros, half of them on each side: no parameters (option A);
- `"none"`: F(x), a plain network;
- a number s: F(x) + s h(x), the constant scaling of He et al., 2016b, section 3.1:
  s = 0.5 hinders training, for over L blocks the signal shrinks by s to the L.

References:
    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (a),
    https://arxiv.org/abs/1512.03385; He et al., "Identity Mappings in Deep Residual
    Networks", ECCV 2016 (b), https://arxiv.org/abs/1603.05027.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.layers.drop import DropPath
from jaxcnn.typing import Array

SHORTCUTS = ("projection", "identity", "none")

#: The paper's names of the options, and `"pad"` for what option A does.
_SYNONYMS = {"A": "identity", "B": "projection", "pad": "identity"}


def shortcut_and_scale(
    shortcut: str | float, default: str = "projection"
) -> tuple[str, float]:
    """Returns one of `SHORTCUTS` and the factor of the shortcut.

    Args:
        shortcut: A name, or a number: the factor of the shortcut that `default` names.
            0 is `"none"`.
        default: The shortcut that a number scales.

    Raises:
        ValueError: if the name is unknown, or the number is negative.

    Example:
        >>> shortcut_and_scale("A"), shortcut_and_scale(0.5), shortcut_and_scale(0)
        (('identity', 1.0), ('projection', 0.5), ('none', 1.0))
    """
    if isinstance(shortcut, (int, float)) and not isinstance(shortcut, bool):
        check_number("shortcut", shortcut, 0, whole=False)
        return (default, float(shortcut)) if shortcut else ("none", 1.0)
    check_choice("shortcut", shortcut, (*SHORTCUTS, *_SYNONYMS, "a number"))
    return _SYNONYMS.get(shortcut, shortcut), 1.0


def check_residual(model: Any, output_strides: Sequence[int]) -> None:
    """Raises unless the options that the residual networks share can be followed.

    Args:
        model: A network with the fields `shortcut`, `output_stride` and `drop_path`.
        output_strides: What its `output_stride` may be.

    Raises:
        ValueError: if one cannot, or if branches are to be dropped that no shortcut
            stands beside.
    """
    shortcut, _ = shortcut_and_scale(model.shortcut)
    check_choice("output_stride", model.output_stride, output_strides)
    check_number("drop_path", model.drop_path, 0, below=1, whole=False)
    if model.drop_path and shortcut == "none":
        raise ValueError(
            f"drop_path={model.drop_path} needs a shortcut beside each branch; a plain "
            "network, shortcut='none', would lose its signal."
        )


def add_shortcut(
    block: Any, x: Array, y: Array, project: Callable[[], Array], *, train: bool
) -> Array:
    """Returns the sum of a block's branch, of whole examples dropped, and its shortcut.

    Args:
        block: The block: its `stride`, `shortcut`, `shortcut_scale` and `drop_path`.
        x: Input of the block, `[batch, height, width, channels]`.
        y: What the branch made of it.
        project: Returns the projection of x; called only where it is needed.
        train: Whether branches are dropped.
    """
    check_choice("shortcut", block.shortcut, SHORTCUTS)
    if block.drop_path:
        y = DropPath(block.drop_path, name="drop_path")(y, train=train)
    if block.shortcut == "none":
        return y
    if x.shape != y.shape and block.shortcut == "identity":
        x = _subsample_and_pad(x, block.stride, y.shape[-1])
    elif x.shape != y.shape:
        x = project()
    return y + (x if block.shortcut_scale == 1 else block.shortcut_scale * x)


def _subsample_and_pad(x: Array, stride: int, features: int) -> Array:
    new = features - x.shape[-1]
    x = x[:, ::stride, ::stride]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(new // 2, new - new // 2)])


def residual_stages(
    model: Any,
    x: Array,
    stem_stride: int,
    *,
    train: bool,
    default: str = "projection",
    **options: Any,
) -> Array:
    """Returns what a residual network's blocks make of its stem's output.

    Called within the network's compact method, of which the blocks become submodules.

    Args:
        model: The network: its fields are the blocks' options.
        x: `[batch, height, width, channels]`.
        stem_stride: Pixels of the image for each position of `x`.
        train: Given to the blocks.
        default: The shortcut that is scaled where `model.shortcut` is a number.
        **options: More options of the blocks.
    """
    shortcut, scale = shortcut_and_scale(model.shortcut, default)
    for name, stage, place in _places(model, stem_stride):
        x = model.block(
            model.width * 2**stage,
            shortcut=shortcut,
            shortcut_scale=scale,
            zero_init=model.zero_init,
            kernel_init=model.kernel_init,
            dtype=model.dtype,
            axis_name=model.axis_name,
            name=name,
            **place,
            **options,
        )(x, train=train)
    return x


def _places(model: Any, reached: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yields the name of each block, its stage from 0, and the options of its place.

    Every stage but the first halves the image until `output_stride` is reached. From
    there on a stage doubles the dilation of its 3x3 convolutions instead, but for the
    first of them, which would have had the stride: it keeps the dilation of the stage
    before, and so reads what it was trained to read in the strided network (Yu et al.,
    "Dilated Residual Networks", CVPR 2017, section 2, https://arxiv.org/abs/1705.09914).

    Block l of L drops l / L of the model's `drop_path` (Huang et al., "Deep Networks
    with Stochastic Depth", ECCV 2016, section 3, https://arxiv.org/abs/1603.09382).
    """
    dilation = count = 1
    for stage, blocks in enumerate(model.stage_sizes):
        stride, before = 1, dilation
        if stage > 0 and reached < model.output_stride:
            stride, reached = 2, 2 * reached
        elif stage > 0:
            dilation *= 2
        for number in range(blocks):
            first = number == 0
            options = {
                "stride": stride if first else 1,
                "dilation": dilation,
                "first_dilation": before if first else dilation,
                "drop_path": model.drop_path * count / sum(model.stage_sizes),
            }
            yield f"stage{stage + 1}_block{number + 1}", stage, options
            count += 1
