"""Keras's files of weights: `.h5` of all versions, `.weights.h5` and `.keras`."""

import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

# The variables of a layer in the order in which Keras 3 numbers them; a batch norm
# without scale has three, one without scale and offset two.
_VARIABLES: dict[str, dict[int, tuple[str, ...]]] = {
    "batch_normalization": {
        4: ("gamma", "beta", "moving_mean", "moving_variance"),
        3: ("beta", "moving_mean", "moving_variance"),
        2: ("moving_mean", "moving_variance"),
    },
    "layer_normalization": {2: ("gamma", "beta")},
    "separable_conv2d": {
        2: ("depthwise_kernel", "pointwise_kernel"),
        3: ("depthwise_kernel", "pointwise_kernel", "bias"),
    },
}
_KERNEL_AND_BIAS = {1: ("kernel",), 2: ("kernel", "bias")}
# Numbers hardly compress: what unpacks to many times its size is a trap.
_MOST_UNPACKED = 2**30
_MOST_COMPRESSED = 20
_DAMAGE = (OSError, RuntimeError, LookupError, TypeError, zipfile.BadZipFile)
# What Keras 1 called them, at the end of a name such as `block1_conv1_W_1:0`.
_KERAS_1 = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """Returns the weights as `"layer/variable"`, such as `"conv1/kernel"`.

    Args:
        path: An HDF5 file, or a zip archive (`.keras`) with `model.weights.h5`.

    Raises:
        ValueError: if h5py is not installed, or the file is damaged or holds no weights
            of Keras.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError(
            "it is a file of Keras, which needs h5py: pip install 'jaxcnn[h5]'"
        ) from None
    try:
        with contextlib.ExitStack() as stack:
            source: Any = path
            if not h5py.is_hdf5(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
                source = stack.enter_context(archive.open("model.weights.h5"))
            file = stack.enter_context(h5py.File(source, "r"))
            arrays = dict(_legacy(file) or _numbered(file))
    except _DAMAGE as error:
        raise ValueError(f"it is damaged ({error})") from error
    if not arrays:
        raise ValueError("it is an HDF5 file without weights of Keras")
    return {_single(name, arrays): array for name, array in arrays.items()}


def _single(name: str, arrays: dict[str, np.ndarray]) -> str:
    """Returns Keras 3's name of the one kernel of a depthwise convolution."""
    layer, _, variable = name.rpartition("/")
    separable = f"{layer}/pointwise_kernel" in arrays
    return name if separable or variable != "depthwise_kernel" else f"{layer}/kernel"


def _legacy(file: Any) -> list[tuple[str, np.ndarray]]:
    """Returns the weights of a file of Keras 1 or 2, or of Keras 3's `.h5`."""
    file = file.get("model_weights", file)
    if "layer_names" not in file.attrs:
        return []
    found = []
    for layer in map(_text, file.attrs["layer_names"]):
        group = file[layer]
        for weight in map(_text, group.attrs["weight_names"]):
            found.append(
                (f"{layer}/{_variable(weight, layer)}", _read(group[weight], file))
            )
    return found


def _read(dataset: Any, file: Any) -> np.ndarray:
    """Returns the numbers of a dataset, if they are in the file itself.

    HDF5 can take them from any other file of this machine: by links, by virtual
    datasets, and as raw bytes.

    Raises:
        ValueError: if they are elsewhere, or not there.
    """
    if not hasattr(dataset, "shape"):
        raise ValueError(f"its weight {dataset.name} is a group")
    elsewhere = dataset.file.filename != file.file.filename
    if elsewhere or dataset.is_virtual or dataset.external:
        raise ValueError(f"its weight {dataset.name} lies in another file")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_MOST_UNPACKED, _MOST_COMPRESSED * stored):
        raise ValueError(
            f"the {stored:,} bytes of its weight {dataset.name} unpack to "
            f"{dataset.nbytes:,}"
        )
    return np.asarray(dataset[()])


def _variable(weight: str, layer: str) -> str:
    """Returns `kernel` for `conv1/kernel:0`, `conv1_W_1:0` or `kernel`."""
    name = re.sub(r":\d+$", "", weight).rsplit("/", 1)[-1]
    if name.startswith(f"{layer}_"):
        name = re.sub(r"_\d+$", "", name.removeprefix(f"{layer}_"))
        name = _KERAS_1.get(name, name)
    return name


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _numbered(file: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the weights of Keras 3's own format, whose variables are numbers."""
    for path, group in _groups(file, ""):
        if "vars" not in group or not len(group["vars"]):
            continue
        kind = re.sub(r"_\d+$", "", path.rsplit("/", 1)[-1])
        variables = group["vars"]
        known = _VARIABLES.get(kind, _KERNEL_AND_BIAS).get(len(variables))
        if known is None:
            raise ValueError(
                f"its layer {path} has {len(variables)} variables, which a {kind} is "
                "not known to have"
            )
        layer = _text(variables.attrs.get("name", path.rsplit("/", 1)[-1]))
        for number, variable in enumerate(known):
            yield f"{layer}/{variable}", _read(variables[str(number)], file)


def _groups(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in group.items():
        if name != "vars" and hasattr(child, "keys"):
            below = f"{path}/{name}".lstrip("/")
            yield below, child
            yield from _groups(child, below)
