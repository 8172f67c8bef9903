"""Reorderings of channels."""

import jax.numpy as jnp

from jaxcnn.typing import Array


def channel_shuffle(x: Array, groups: int) -> Array:
    """Returns all groups' channels interleaved: the first of each, the second, ...

    Between two grouped convolutions, so that every group of the second sees all groups
    of the first.

    Args:
        x: `[..., channels]`.
        groups: Number of groups.

    Raises:
        ValueError: if the groups do not divide the channels.

    Example:
        >>> channel_shuffle(jnp.arange(6), 2).tolist()
        [0, 3, 1, 4, 2, 5]

    References:
        Zhang et al., "ShuffleNet", CVPR 2018, section 3.1,
        https://arxiv.org/abs/1707.01083.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups={groups!r} must divide the {channels} channels.")
    x = x.reshape(*x.shape[:-1], groups, channels // groups)
    return jnp.swapaxes(x, -1, -2).reshape(*x.shape[:-2], channels)


def pixel_shuffle(x: Array, factor: int) -> Array:
    """Returns every spatial axis `factor` times as long, filled from the channels.

    Channel `c * factor**rank + k` holds position k of each block, in the order of rows,
    of channel c out, as in PyTorch: so one convolution at low resolution makes an
    image of a higher one.

    Args:
        x: `[batch, *spatial, channels * factor**rank]`.
        factor: How many times as long every spatial axis becomes.

    Returns:
        `[batch, *(spatial * factor), channels]`.

    Raises:
        ValueError: if the channels are no multiple of `factor**rank`.

    Example:
        >>> x = jnp.arange(8).reshape(1, 1, 2, 4)
        >>> pixel_shuffle(x, 2)[0, :, :, 0].tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]

    References:
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
        Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, section 3.2,
        https://arxiv.org/abs/1609.05158.
    """
    rank = x.ndim - 2
    if factor < 1 or x.shape[-1] % factor**rank:
        raise ValueError(
            f"pixel_shuffle: factor={factor!r} needs a multiple of factor**{rank} "
            f"channels, got shape {tuple(x.shape)}."
        )
    batch, *spatial, channels = x.shape
    channels //= factor**rank
    x = x.reshape(batch, *spatial, channels, *(factor,) * rank)
    pairs = [axis for k in range(rank) for axis in (1 + k, rank + 2 + k)]
    x = x.transpose(0, *pairs, rank + 1)
    return x.reshape(batch, *(size * factor for size in spatial), channels)


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """Returns every spatial axis `factor` times as short, blocks as channels.

    The inverse of `pixel_shuffle`; a convolution behind it sees whole blocks.

    Args:
        x: `[batch, *spatial, channels]`.
        factor: How many times as short every spatial axis becomes.

    Returns:
        `[batch, *(spatial / factor), channels * factor**rank]`.

    Raises:
        ValueError: if the factor does not divide every spatial axis.

    Example:
        >>> x = jnp.arange(8).reshape(1, 2, 4, 1)
        >>> pixel_unshuffle(x, 2)[0, 0].tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    batch, *spatial, channels = x.shape
    rank = len(spatial)
    if factor < 1 or any(size % factor for size in spatial):
        raise ValueError(
            f"pixel_unshuffle: factor={factor!r} must divide every spatial axis, got "
            f"shape {tuple(x.shape)}."
        )
    blocks = [n for size in spatial for n in (size // factor, factor)]
    x = x.reshape(batch, *blocks, channels)
    outer, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    x = x.transpose(0, *outer, 2 * rank + 1, *inner)
    smaller = (size // factor for size in spatial)
    return x.reshape(batch, *smaller, channels * factor**rank)
