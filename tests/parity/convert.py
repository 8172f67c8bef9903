"""Weights of PyTorch modules as Flax variables, for these tests alone.

`state` is everywhere a state dict as NumPy arrays by name, as `arrays` gives it; a
dictionary of gradients of the same names is converted alike.
"""

import numpy as np
from flax.traverse_util import unflatten_dict


def arrays(tensors):
    """Returns named tensors as NumPy arrays of their own."""
    return {name: np.array(t.detach().numpy()) for name, t in dict(tensors).items()}


def images(x):
    """Returns `[batch, height, width, channels]` as `[batch, channels, ...]`."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1))


def kernel(weight):
    """Convolutions `[out, in, h, w]` and transposed ones `[in, out, h, w]`, dense."""
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T


def channels_last(flat, shape, axis):
    """Reorders an axis that is a flattened `(channels, height, width)`."""
    flat = np.moveaxis(flat, axis, 0)
    order = np.arange(np.prod(shape)).reshape(shape).transpose(1, 2, 0).ravel()
    return np.moveaxis(flat[order], 0, axis)


def layers(state, names, *, flattens=None, unflattens=None):
    """Returns the parameters of convolutions and dense layers.

    Args:
        state: Arrays by PyTorch name.
        names: `{"conv1": "0"}`: our path and PyTorch's prefix.
        flattens: `{"head": (channels, height, width)}`: dense layers behind a flattened
            map of that shape, which has its channels first in PyTorch.
        unflattens: The same for dense layers whose outputs become such a map.
    """
    flat = {}
    for ours, theirs in names.items():
        weight, bias = kernel(state[f"{theirs}.weight"]), state[f"{theirs}.bias"]
        if shape := (flattens or {}).get(ours):
            weight = channels_last(weight, shape, 0)
        if shape := (unflattens or {}).get(ours):
            weight, bias = (channels_last(each, shape, -1) for each in (weight, bias))
        flat |= {f"{ours}/kernel": weight, f"{ours}/bias": bias}
    return unflatten_dict(flat, sep="/")
