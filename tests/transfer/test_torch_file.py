import os
import pickle
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jaxcnn.transfer.torch_tensors import find
from jaxcnn.transfer.weight_file import read_weights

from . import torch_files as build

NUMBERS = np.arange(24, dtype=np.float32)


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch):
    """Importing it is an error."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture(params=["zip", "legacy"])
def write(request, tmp_path):
    """Returns a function that writes a file and reads it again."""

    def write(instructions, storages, **options):
        path = tmp_path / "anything.bin"
        build.WRITERS[request.param](path, instructions, storages, **options)
        found = read_weights(path)
        assert found.kind == "torch"
        return found.arrays

    return write


def state(**tensors):
    return build.dictionary({name.replace("_", "."): t for name, t in tensors.items()})


def test_tensors_by_name(write):
    found = write(
        state(conv_weight=build.tensor("0", (2, 3, 4)), count=build.tensor("1", ())),
        {"0": NUMBERS, "1": NUMBERS[7:8]},
    )
    np.testing.assert_array_equal(found["conv.weight"], NUMBERS.reshape(2, 3, 4))
    assert (found["count"].shape, found["count"]) == ((), 7)


def test_strides_offsets_and_shared_storages(write):
    found = write(
        state(
            turned=build.tensor("0", (4, 3), (1, 4), offset=12, count=24),
            column=build.tensor("0", (3,), (8,), offset=1, count=24),
            repeated=build.tensor("0", (2, 3), (0, 1), count=24),
            none=build.tensor("0", (0, 5), (5, 1), count=24),
        ),
        {"0": NUMBERS},
    )
    np.testing.assert_array_equal(found["turned"], NUMBERS[12:].reshape(3, 4).T)
    np.testing.assert_array_equal(found["column"], [1, 9, 17])
    np.testing.assert_array_equal(found["repeated"], [[0, 1, 2], [0, 1, 2]])
    assert found["none"].shape == (0, 5)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", np.float64),
        ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("LongStorage", np.int64),
        ("torch.cuda.IntStorage", np.int32),
        ("ShortStorage", np.int16),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("BoolStorage", np.bool_),
        ("ComplexFloatStorage", np.complex64),
    ],
)
def test_types(write, kind, dtype):
    numbers = np.array([1, 0, 3], dtype)
    found = write(state(x=build.tensor("0", (3,), kind=kind)), {"0": numbers})
    assert found["x"].dtype == dtype
    np.testing.assert_array_equal(found["x"], numbers)


def test_a_tensor_that_says_its_type_itself(write):
    untyped = build.storage("0", "torch.storage.UntypedStorage", 6)
    tensor = (
        build.named("torch._utils", "_rebuild_tensor_v3")
        + b"("
        + b"".join([untyped, *map(build.value, (1, (2,), (1,), False))])
        + build.ORDERED
        + build.named("torch", "uint16")
        + b"tR"
    )
    numbers = np.array([1, 2, 65535], np.uint16)
    found = write(state(x=tensor), {"0": numbers.view(np.uint8)})
    np.testing.assert_array_equal(found["x"], [2, 65535])


def test_parameters_and_the_versions_of_modules(write):
    parameter = (
        build.named("torch._utils", "_rebuild_parameter")
        + b"("
        + build.tensor("0", (24,))
        + build.value(True)
        + build.ORDERED
        + b"tR"
    )
    versions = build.dictionary({"_metadata": build.ORDERED}, start=b"}")
    found = write(state(x=parameter) + versions + b"b", {"0": NUMBERS})
    np.testing.assert_array_equal(found["x"], NUMBERS)


@pytest.mark.parametrize(
    "key", ["state_dict", "model", "model_state_dict", "state_dict_ema"]
)
def test_nested_in_what_a_trainer_saves(write, key):
    inner = state(module_x=build.tensor("0", (24,)))
    rest = {"epoch": build.value(3), "lr": build.value([0.1, None, True])}
    found = write(build.dictionary({**rest, key: inner}, b"}"), {"0": NUMBERS})
    assert list(found) == ["x"]


def test_averaged_weights_come_first(write):
    inner = {
        key: state(x=build.tensor(number, (24,)))
        for key, number in (("state_dict", "0"), ("state_dict_ema", "1"))
    }
    found = write(build.dictionary(inner, b"}"), {"0": NUMBERS, "1": NUMBERS + 1})
    assert found["x"][0] == 1


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers(write, prefix):
    tensors = {f"{prefix}{name}": build.tensor("0", (24,)) for name in "ab"}
    assert list(write(build.dictionary(tensors), {"0": NUMBERS})) == ["a", "b"]


def test_a_prefix_that_not_all_have_stays(write):
    tensors = {name: build.tensor("0", (24,)) for name in ("module.a", "b")}
    found = write(build.dictionary(tensors), {"0": NUMBERS})
    assert list(found) == ["module.a", "b"]


class Malicious:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def as_pickled(thing, protocol):
    """Returns the instructions by which Python would make a thing."""
    text = pickle.dumps(thing, protocol)
    return text[2:-1] if protocol < 4 else text[11:-1]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {path}",), r"(posix|nt)\.system"),
        (eval, ("open('{path}', 'w')",), r"(__builtin__|builtins)\.eval"),
        (exec, ("open('{path}', 'w')",), r"(__builtin__|builtins)\.exec"),
        (getattr, ("x", "y"), r"(__builtin__|builtins)\.getattr"),
    ],
)
def test_a_malicious_file_is_refused_by_name(
    write, tmp_path, function, arguments, name, protocol
):
    touched = tmp_path / "touched"
    arguments = [argument.format(path=touched) for argument in arguments]
    bad = as_pickled(Malicious(function, *arguments), protocol)
    tensors = {"x": build.tensor("0", (24,)), "bad": bad}
    with pytest.raises(ValueError, match=rf"it asks for {name}, which is no tensor"):
        write(build.dictionary(tensors), {"0": NUMBERS})
    assert not touched.exists()
    # The test itself can fail: Python's reader does what the file says.
    if function is os.system:
        pickle.loads(b"\x80\x04" + bad + b".")
        assert touched.exists()


@pytest.mark.parametrize(
    ("instructions", "name"),
    [
        (build.named("numpy.core.multiarray", "_reconstruct"), "numpy.core.multiarray"),
        (
            build.named("torch.nn.modules.conv", "Conv2d"),
            "torch.nn.modules.conv.Conv2d",
        ),
        (build.named("torch", "load"), "torch.load"),
        (build.named("torch._utils", "os.system"), "torch._utils.os.system"),
        (build.named("collections", "namedtuple"), "collections.namedtuple"),
        (build.named("argparse", "Namespace"), "argparse.Namespace"),
        (b"(i__main__\nThing\n", "the instruction INST"),
        (b"\x82\x01", "the instruction EXT1"),
        (build.named("collections", "OrderedDict") + b")\x81", "NEWOBJ"),
        (build.named("torch", "FloatStorage") + b")R", "calls FloatStorage"),
        (build.value([1]) + b"}b", "sets attributes of a list"),
        (build.named("torch", "float32") + b"}b", "sets attributes of a Known"),
    ],
)
def test_what_weights_do_not_need_is_refused(write, instructions, name):
    with pytest.raises(ValueError, match=name):
        write(build.dictionary({"x": instructions}), {"0": NUMBERS})


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (build.tensor("0", (25,), count=24), "reaches number 24 of a storage of 24"),
        (build.tensor("0", (3, 9), (8, 1), count=24), "reaches number 24 of"),
        (build.tensor("0", (1,), offset=24, count=24), "reaches number 24 of"),
        (build.tensor("0", (2,), (10**15,), count=24), "reaches number 1,000,000,000"),
        (build.tensor("0", (2,), (-1,), offset=5, count=24), "-1 is not a size"),
        (build.tensor("0", (-2,), (1,), count=24), "-2 is not a size"),
        (build.tensor("0", (2,), (1, 1), count=24), r"strides \(1, 1\)"),
        (build.tensor("0", (2.0,), (1,), count=24), "2.0 is not a size"),
        (build.tensor("0", (99,)), "storage '0' holds 96 bytes, 396 are needed"),
        (build.tensor("nine", (24,)), "data/nine|list of storages is damaged"),
    ],
)
def test_nothing_outside_a_storage_is_read(write, tensor, message):
    with pytest.raises(ValueError, match=message):
        write(state(x=tensor), {"0": NUMBERS})


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (build.value([1, 2]), "holds a list, not a state dict"),
        (build.value({"epoch": 1}), "no state dict; its keys are 'epoch'"),
        (b"h\x07", "pickle is damaged"),
        (b"u", "pickle is damaged"),
        (b"R", "pickle is damaged"),
        (b"(]]d", "pickle is damaged"),
        (b"X\xff\xff\x00\x00ab", "pickle is damaged"),
        (b"Kx\x85Q", "pickle is damaged"),
    ],
)
def test_other_content(write, instructions, message):
    with pytest.raises(ValueError, match=message):
        write(instructions, {"0": NUMBERS})


def test_files_that_are_cut_short(write, tmp_path):
    write(state(x=build.tensor("0", (24,))), {"0": NUMBERS})
    path = tmp_path / "anything.bin"
    content = path.read_bytes()
    for end in range(16, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"anything\.bin cannot be read: it"):
            read_weights(path)


def test_flipped_bytes_end_in_one_kind_of_error_or_none(write, tmp_path):
    write(state(x=build.tensor("0", (24,))), {"0": NUMBERS})
    path = tmp_path / "anything.bin"
    content = path.read_bytes()
    refused = 0
    for position in range(15, len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x55
        path.write_bytes(changed)
        try:
            read_weights(path)
        except ValueError:
            refused += 1
    assert refused > 100


def doubled(times):
    """Returns tuples in tuples: few to write, 2**times of them to print."""
    levels = (b"0" + b"h%c" % n * 2 + b"\x86\x94" for n in range(times))
    return b")\x94" + b"".join(levels)


DEEP = b")" + b"\x85" * 300_000
LONG = b"](" + b"K\x01" * 100 + b"eq\xff0"
STORAGE = [build.value("storage"), build.named("torch", "FloatStorage")]


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (b"}" + DEEP + b"Ns", "a tuple of other things is a key"),
        (b"}(" + DEEP + b"Nu", "a tuple of other things is a key"),
        (build.named("collections", "OrderedDict") + b"(](](" + DEEP + b"NeetR", "key"),
        (doubled(60) + build.value("x") + b"\x93", "str expected, tuple found"),
        (DEEP + build.value("x") + b"\x93", "str expected, tuple found"),
        (
            b"(" + b"".join([*STORAGE, doubled(60), build.value("cpu")]) + b"K\x01tQ",
            r"a storage is called \(\(",
        ),
        (build.named("torch", "Size") + b"(" + doubled(60) + b"tR", "is not a size"),
        (LONG + build.named("torch", "Size") + b"(h\xfftR", "is not a shape"),
        (build.tensor("0", (1,) * 65, count=24), "is not a shape"),
        (build.tensor("0", (2**20, 2**20), (0, 0), count=24), "repeats 24 numbers"),
    ],
)
def test_what_would_end_the_process_or_take_its_memory(write, instructions, message):
    with pytest.raises(ValueError, match=message):
        write(build.dictionary({"x": instructions}), {"0": NUMBERS})


def test_a_list_makes_one_ordered_dictionary():
    """Copies of a long list would be a few bytes each in the file."""
    pairs = [["a", 1], ["b", 2]]
    assert find("collections.OrderedDict").make(pairs) == {"a": 1, "b": 2}
    assert pairs == []
    with pytest.raises(ValueError, match="is not made of a list"):
        find("collections.OrderedDict").make({"a": 1})


def test_a_type_that_is_none(write):
    untyped = build.storage("0", "torch.storage.UntypedStorage", 6)
    parts = [untyped, *map(build.value, (1, (2,), (1,), False)), build.ORDERED]
    tensor = build.named("torch._utils", "_rebuild_tensor_v3") + b"(" + b"".join(parts)
    with pytest.raises(ValueError, match="'f' is no type of numbers"):
        write(state(x=tensor + build.value("f") + b"tR"), {"0": NUMBERS})


@pytest.mark.parametrize("keys", [b"]]a", b"]" + DEEP + b"a"])
def test_damaged_lists_of_storages(tmp_path, keys):
    build.write_legacy(tmp_path / "x", state(x=build.tensor("0", (24,))), {})
    content = (tmp_path / "x").read_bytes().removesuffix(pickle.dumps([], 2))
    (tmp_path / "x").write_bytes(content + build.whole(keys))
    with pytest.raises(ValueError, match="list of storages is damaged"):
        read_weights(tmp_path / "x")


def test_averaged_models_count_their_steps(write):
    """As torch.optim.swa_utils.AveragedModel saves itself, beside what it averages."""
    averaged = {
        "n_averaged": build.tensor("1", ()),
        "module.module.x": build.tensor("0", (24,)),
    }
    content = {
        "model": state(y=build.tensor("0", (24,))),
        "model_ema": build.dictionary(averaged),
    }
    storages = {"0": NUMBERS, "1": NUMBERS[:1]}
    assert list(write(build.dictionary(content, b"}"), storages)) == ["x"]


def test_averaged_weights_come_before_a_state_dict(write):
    inner = {
        key: state(x=build.tensor(number, (24,)))
        for key, number in (("state_dict", "0"), ("model_ema", "1"))
    }
    found = write(build.dictionary(inner, b"}"), {"0": NUMBERS, "1": NUMBERS + 1})
    assert found["x"][0] == 1


def test_big_endian_files(tmp_path):
    path = tmp_path / "x"
    instructions = state(x=build.tensor("0", (24,)))
    build.write_legacy(path, instructions, {"0": NUMBERS}, little_endian=False)
    with pytest.raises(ValueError, match="big-endian"):
        read_weights(path)
    build.write_zip(path, instructions, {"0": NUMBERS}, byteorder="big")
    with pytest.raises(ValueError, match="big-endian"):
        read_weights(path)


def test_an_unknown_protocol(tmp_path):
    build.write_legacy(tmp_path / "x", build.value({}), {}, version=1002)
    with pytest.raises(ValueError, match="says protocol 1002"):
        read_weights(tmp_path / "x")


def test_a_program(tmp_path):
    path = tmp_path / "x.pt"
    build.write_zip(path, build.value({}), {}, **{"constants.pkl": ""})
    with pytest.raises(ValueError, match=r"TorchScript program; save its state_dict"):
        read_weights(path)


def test_part_of_a_storage_in_files_of_2017(tmp_path):
    viewed = build.storage("0", "FloatStorage", 24)
    viewed = viewed.removesuffix(b"tQ") + build.value(("view", 4, 6)) + b"tQ"
    tensor = (
        build.named("torch._utils", "_rebuild_tensor")
        + b"("
        + viewed
        + build.value(1)
        + build.value((2,))
        + build.value((3,))
        + b"tR"
    )
    build.write_legacy(tmp_path / "x", state(x=tensor), {"0": NUMBERS})
    np.testing.assert_array_equal(read_weights(tmp_path / "x").arrays["x"], [5, 8])


def test_the_published_cifar_weights():
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    path = Path(os.environ["JAXCNN_TEST_DATA"]) / "weights" / "resnet20-12fca82f.th"
    found = read_weights(path)
    assert found.kind == "torch"
    learned = [a for n, a in found.arrays.items() if n.endswith(("weight", "bias"))]
    assert sum(array.size for array in learned) == 269_722
    assert found.arrays["layer1.0.conv1.weight"].shape == (16, 16, 3, 3)
