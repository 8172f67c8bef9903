"""PyTorch's files put together by hand, byte by byte, without PyTorch."""

import pickle
import struct
import zipfile


def value(plain):
    """Returns the instructions that make a plain value."""
    return pickle.dumps(plain, 2)[2:-1]


def named(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


ORDERED = named("collections", "OrderedDict") + b")R"


def storage(key, kind, count):
    module, _, attribute = kind.rpartition(".")
    parts = [value("storage"), named(module or "torch", attribute)]
    parts += [value(key), value("cpu"), value(count)]
    return b"(" + b"".join(parts) + b"tQ"


def tensor(key, shape, strides=None, *, kind="FloatStorage", offset=0, count=None):
    """Returns the instructions that make a tensor of a storage, as torch.save does."""
    if strides is None:
        strides = tuple(_product(shape[axis + 1 :]) for axis in range(len(shape)))
    count = _product(shape) if count is None else count
    parts = [storage(key, kind, count), value(offset), value(shape), value(strides)]
    return (
        named("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + b"".join(parts)
        + value(False)
        + ORDERED
        + b"tR"
    )


def _product(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def dictionary(items, start=ORDERED):
    """Returns the instructions of a dictionary of instructions."""
    pairs = b"".join(value(key) + item for key, item in items.items())
    return start + b"(" + pairs + b"u"


def whole(instructions):
    return b"\x80\x02" + instructions + b"."


def write_zip(path, instructions, storages, *, root="archive", **extra):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", whole(instructions))
        for name, text in extra.items():
            archive.writestr(f"{root}/{name}", text)
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", "3\n")


def write_legacy(path, instructions, storages, *, little_endian=True, version=1001):
    system = {"protocol_version": 1001, "little_endian": little_endian}
    parts = [
        pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        pickle.dumps(version, 2),
        pickle.dumps(system, 2),
        whole(instructions),
        pickle.dumps(list(storages), 2),
    ]
    for array in storages.values():
        parts.append(struct.pack("<q", array.size) + array.tobytes())
    path.write_bytes(b"".join(parts))


WRITERS = {"zip": write_zip, "legacy": write_legacy}
