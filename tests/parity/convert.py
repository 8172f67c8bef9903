"""Weights of PyTorch modules as Flax variables, for these tests alone.

`state` is everywhere a state dict as NumPy arrays by name, as `arrays` gives it; a
dictionary of gradients of the same names is converted alike.
"""

import re

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


_BLOCK = {2: ("conv1", "conv2"), 3: ("reduce", "conv", "expand")}


def resnet(state):
    """Returns the variables of a residual network, torchvision's or the CIFAR one."""
    state = {re.sub(r"^module\.", "", name): array for name, array in state.items()}
    convs = {
        n for n, array in state.items() if n.endswith("weight") and array.ndim == 4
    }
    depth = 3 if any("conv3" in name for name in convs) else 2
    params, stats = {}, {}
    for name in sorted(convs):
        ours = _resnet_path(name, depth)
        norm = _norm_of(name)
        params[f"{ours}/conv/kernel"] = kernel(state[name])
        params[f"{ours}/norm/scale"] = state[f"{norm}.weight"]
        params[f"{ours}/norm/bias"] = state[f"{norm}.bias"]
        if f"{norm}.running_mean" in state:
            stats[f"{ours}/norm/mean"] = state[f"{norm}.running_mean"]
            stats[f"{ours}/norm/var"] = state[f"{norm}.running_var"]
    head = "fc" if "fc.weight" in state else "linear"
    params["head/kernel"] = kernel(state[f"{head}.weight"])
    params["head/bias"] = state[f"{head}.bias"]
    return {
        "params": unflatten_dict(params, sep="/"),
        "batch_stats": unflatten_dict(stats, sep="/"),
    }


def _resnet_path(name, depth):
    """`layer1.0.conv2.weight` is `stage1_block1/conv2`."""
    parts = re.match(r"layer(\d)\.(\d+)\.(?:conv(\d)|downsample)", name)
    if not parts:
        return "stem"
    stage, block, conv = parts.groups()
    layer = _BLOCK[depth][int(conv) - 1] if conv else "shortcut"
    return f"stage{stage}_block{int(block) + 1}/{layer}"


def _norm_of(name):
    """The norm behind `layer1.0.conv2.weight` is `layer1.0.bn2`."""
    name = name.removesuffix(".weight")
    return re.sub(
        r"downsample\.0$", "downsample.1", re.sub(r"conv(\d)$", r"bn\1", name)
    )
