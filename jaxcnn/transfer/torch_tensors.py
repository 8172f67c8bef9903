"""What a PyTorch file may name: tensors, their storages, and ordered dictionaries."""

import dataclasses
import math
import reprlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from jaxcnn.transfer.restricted_pickle import Known, RefusedError, checked_key

_DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

_MOST_AXES = 64  # as NumPy
# Numbers of an expanded tensor, which are stored once: more are a trap for whoever
# copies them.
_MOST_REPEATED = 2**28


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers in the file.

    Attributes:
        key: Its name there.
        dtype: Type of a number; bytes where the tensor says the type.
        start: First number of it that is meant.
        length: How many.
    """

    key: str
    dtype: np.dtype
    start: int
    length: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where a tensor's numbers are; `resolve` makes the array.

    Attributes:
        storage: The run of numbers.
        dtype: Type of a number.
        offset: First number, from the storage's start.
        shape: Sizes of the axes.
        strides: Steps of the axes, in numbers.
    """

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def resolve(self, read: Callable[[str], memoryview | bytes]) -> np.ndarray:
        """Returns the array, read only and without a copy.

        Args:
            read: Returns the bytes of a storage by its key.

        Raises:
            ValueError: if the storage holds fewer numbers than the tensor needs.
        """
        data = memoryview(read(self.storage.key))
        itemsize = self.storage.dtype.itemsize
        first, length = self.storage.start * itemsize, self.storage.length * itemsize
        if first + length > len(data):
            raise ValueError(
                f"storage {self.storage.key!r} holds {len(data):,} bytes, "
                f"{first + length:,} are needed"
            )
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        # NumPy checks once more that no element lies outside.
        return np.ndarray(
            self.shape,
            self.dtype,
            data[first : first + length],
            self.offset * self.dtype.itemsize,
            tuple(step * self.dtype.itemsize for step in self.strides),
        )


def find(name: str) -> Known:
    """Returns what a name in a PyTorch file stands for.

    Raises:
        RefusedError: for any name but those of tensors, storages, dtypes and ordered
            dictionaries.
    """
    module, _, attribute = name.rpartition(".")
    if name in _FUNCTIONS:
        return Known(name, _FUNCTIONS[name])
    if module in ("torch", "torch.cuda", "torch.storage"):
        if attribute in _STORAGES or attribute == "UntypedStorage":
            return Known(attribute)
        if module == "torch" and attribute in _DTYPES:
            return Known(attribute)
    raise RefusedError(f"it asks for {name}, which is no tensor and no container")


def storage_of(persistent: Any) -> Storage:
    """Returns the storage that a persistent id names.

    Raises:
        ValueError: if it names none.
    """
    tag, kind, key, _, length, *view = persistent
    if tag != "storage" or not isinstance(kind, Known):
        raise ValueError(f"persistent id {reprlib.repr(tag)} is no storage")
    if not isinstance(key, str):
        raise ValueError(f"a storage is called {reprlib.repr(key)}")
    dtype = np.dtype(_DTYPES[_STORAGES.get(kind.name, "uint8")])
    start = 0
    if view and view[0] is not None:  # files of 2017: a part of a storage
        _, start, length = view[0]
    return Storage(key, dtype, _size(start), _size(length))


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, **_: Any
) -> Tensor:
    _check_metadata(rest[2] if len(rest) > 2 else None)
    return _checked_tensor(storage, storage.dtype, offset, shape, strides)


def _tensor_of_dtype(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    _check_metadata(metadata)
    if not isinstance(dtype, Known):
        raise ValueError(f"{reprlib.repr(dtype)} is no type of numbers")
    return _checked_tensor(
        storage, np.dtype(_DTYPES[dtype.name]), offset, shape, strides
    )


def _check_metadata(metadata: Any) -> None:
    if metadata:
        names = reprlib.repr(list(metadata))
        raise RefusedError(f"a tensor carries {names}, which is not read")


def _checked_tensor(
    storage: Any, dtype: np.dtype, offset: Any, shape: Any, strides: Any
) -> Tensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    shape, strides = _sizes(shape), _sizes(strides)
    if len(shape) != len(strides):
        raise ValueError(f"a tensor has shape {shape} and strides {strides}")
    held = storage.length * storage.dtype.itemsize // dtype.itemsize
    steps = zip(shape, strides, strict=True)
    last = _size(offset) + sum((n - 1) * step for n, step in steps)
    if math.prod(shape) and last >= held:
        raise ValueError(
            f"a tensor of shape {shape} reaches number {last:,} of a storage of "
            f"{held:,}"
        )
    if math.prod(shape) > max(held, _MOST_REPEATED):
        raise ValueError(f"a tensor of shape {shape} repeats {held:,} numbers")
    return Tensor(storage, dtype, offset, shape, strides)


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise ValueError(f"{reprlib.repr(value)} is not a size")
    return value


def _sizes(values: Any = ()) -> tuple[int, ...]:
    # A file may name one long list often: each copy would cost it a few bytes.
    if not isinstance(values, (tuple, list)) or len(values) > _MOST_AXES:
        raise ValueError(f"{reprlib.repr(values)} is not a shape")
    return tuple(map(_size, values))


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter holds no tensor")
    return tensor


def _ordered(pairs: Any = None) -> OrderedDict:
    found: OrderedDict = OrderedDict()
    if pairs is not None:
        if not isinstance(pairs, list):
            raise ValueError("an ordered dictionary is not made of a list")
        found.update((checked_key(key), value) for key, value in pairs)
        pairs.clear()  # used up: a file may name one long list often
    return found


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch.Size": _sizes,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
}
