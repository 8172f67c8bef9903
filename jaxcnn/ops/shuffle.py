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
