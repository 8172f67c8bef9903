"""Saving, keeping and restoring; damage and killed saves are in the file beside."""

import subprocess
import sys
import typing

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcnn.checkpoint import Checkpoints, leaves


class Pair(typing.NamedTuple):
    left: jax.Array
    right: tuple


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: optax.OptState
    rng: jax.Array
    extras: dict


def make_state(value=1.0):
    params = {"dense": {"kernel": jnp.full((3, 2), value), "bias": jnp.zeros(2)}}
    return State(
        step=jnp.int32(7),
        params=params,
        opt_state=optax.adamw(1e-3).init(params),
        rng=jax.random.key(5),
        extras={},
    )


def bits(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def assert_same(one, two):
    """Same classes, types of leaves, dtypes, shapes and bits."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        assert np.shape(a) == np.shape(b)
        assert bits(a) == bits(b)


def mesh_sharding(*spec):
    auto = (jax.sharding.AxisType.Auto,)
    return NamedSharding(jax.make_mesh((8,), ("data",), axis_types=auto), P(*spec))


TREES = {
    "state": make_state,
    "nested": lambda: Pair(jnp.arange(3), ({"a": [jnp.ones(2)]}, None, ())),
    "bfloat16": lambda: {"x": jax.random.normal(jax.random.key(0), (5,), jnp.bfloat16)},
    "special floats": lambda: jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45]),
    "integers": lambda: {
        "i4": jnp.ones(3, jnp.int4),
        "u8": jnp.arange(3, dtype=jnp.uint8),
        "bool": jnp.array([True, False]),
    },
    "keys": lambda: {
        "one": jax.random.key(1),
        "many": jax.random.split(jax.random.key(2), 3),
        "rbg": jax.random.key(3, impl="rbg"),
        "none": jax.random.split(jax.random.key(2), 0),
    },
    "numpy": lambda: {"f64": np.array([0.1]), "scalar": np.array(3), "i": np.arange(4)},
    "python": lambda: {"i": 2**60, "f": 0.1, "nan": float("inf"), "b": True},
    "only python": lambda: {"step": 3},
    "empty arrays": lambda: {"x": jnp.zeros((0, 3)), "y": np.zeros((2, 0), np.int8)},
    "names": lambda: {"a.b": jnp.zeros(1), "a": {"b": jnp.ones(1)}, " é%": jnp.ones(2)},
    "nothing": lambda: {},
}


@pytest.mark.parametrize("name", TREES)
def test_trees_come_back_bit_equal(tmp_path, name):
    tree = TREES[name]()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.save(1, tree)
        restored = checkpoints.restore(tree)
    assert restored.step == 1
    assert_same(restored.state, tree)


def test_a_target_of_shapes_gives_arrays_and_keys(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    restored = Checkpoints(tmp_path).restore(jax.eval_shape(make_state))
    assert_same(restored.state, state)


def test_without_a_target_nested_dictionaries_of_numpy_come_back(tmp_path):
    tree = {"params": Pair(jnp.ones(2, jnp.bfloat16), (jnp.zeros(0),)), "step": 3}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree)
        raw = checkpoints.restore().state
    assert raw["step"] == 3
    assert isinstance(raw["params"]["left"], np.ndarray)
    assert raw["params"]["left"].dtype == jnp.bfloat16
    assert raw["params"]["right"]["0"].shape == (0,)


def test_a_part_of_the_state_is_restored_without_knowing_the_rest(tmp_path):
    state = make_state(value=4.0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        part = {"params": jax.eval_shape(lambda: state.params)}
        restored = checkpoints.restore(part, partial=True)
        assert_same(restored.state, {"params": state.params})
        part["params"]["dense"]["scale"] = jnp.ones(2)
        with pytest.raises(ValueError, match="params/dense/scale: missing"):
            checkpoints.restore(part, partial=True)


def test_uncommitted_arrays_stay_uncommitted_and_committed_ones_committed(tmp_path):
    device = jax.devices()[3]
    tree = {"free": jnp.ones(2), "bound": jax.device_put(jnp.ones(2), device)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree)
        state = checkpoints.restore(tree).state
    assert not state["free"].committed
    assert state["bound"].committed
    assert state["bound"].devices() == {device}


def test_a_state_saved_over_eight_devices_is_restored_on_one_and_back(tmp_path):
    values = {"x": jnp.arange(16.0), "keys": jax.random.split(jax.random.key(0), 8)}
    sharded = jax.device_put(values, mesh_sharding("data"))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, sharded)
        on_one = checkpoints.restore(values).state
        assert_same(on_one, values)
        assert on_one["x"].devices() == {jax.devices()[0]}
        checkpoints.save(2, on_one)
        on_eight = checkpoints.restore(sharded).state
        assert_same(on_eight, sharded)
        assert on_eight["x"].sharding == sharded["x"].sharding
        assert len(on_eight["keys"].devices()) == 8
        abstract = jax.ShapeDtypeStruct((16,), "float32", sharding=mesh_sharding())
        copies = checkpoints.restore({"x": abstract}, partial=True).state["x"]
        assert copies.is_fully_replicated
        assert len(copies.devices()) == 8


def test_a_donated_state_is_saved_as_it_was(tmp_path):
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = jnp.zeros((500, 500))
    owned = np.zeros(3)
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        for i in range(4):
            checkpoints.save(i, {"x": x, "owned": owned})
            x = step(x)
            owned += 1
        for i in range(4):
            state = checkpoints.restore(step=i).state
            assert (state["x"] == i).all()
            assert (state["owned"] == i).all()


def test_arrays_of_numpy_are_copied():
    owned = np.zeros(3)
    _, arrays = leaves.pack({"owned": owned})
    assert not np.shares_memory(arrays["owned"], owned)


def test_info_and_metrics_come_back(tmp_path):
    info = {"hooks": {"early": [1, 2.5, None, "a"]}}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, {}, info=info, metrics={"loss": jnp.float32(0.5)})
        info["hooks"]["early"].append("later")
        restored = checkpoints.restore({})
        assert checkpoints.metrics(3) == {"loss": 0.5}
    assert restored.info == {"hooks": {"early": [1, 2.5, None, "a"]}}
    assert restored.metrics == {"loss": 0.5}


KEPT = [
    # accuracy of steps 0, 1, ...; arguments; the steps that are left; the best
    ([0.1, 0.9, 0.3, 0.4, 0.5], {}, [1, 3, 4], 1),
    ([0.1, 0.9, 0.3, 0.4, 0.5], {"mode": "min"}, [0, 3, 4], 0),
    ([0.9, 0.9, 0.9, 0.1, 0.1], {}, [0, 3, 4], 0),
    ([0.5, 0.9, 0.7, 0.1, 0.1], {"keep": 1, "keep_best": 2}, [1, 2, 4], 1),
    ([0.1, 0.2, 0.3, 0.4, 0.5], {"keep": 1}, [4], 4),
    ([0.9, 0.2, 0.3, 0.4, 0.5], {"keep_best": 0}, [3, 4], 4),
    ([None, 0.2, None, None, None], {"keep": 1}, [1, 4], 1),
    ([float("nan"), 0.2, float("nan"), 0.1], {"keep": 1}, [1, 3], 1),
    ([0.9, 0.2, 0.3], {"best": None, "keep": 1}, [2], None),
]


@pytest.mark.parametrize(("accuracies", "arguments", "left", "best"), KEPT)
def test_the_latest_and_the_best_are_kept(tmp_path, accuracies, arguments, left, best):
    with Checkpoints(tmp_path, **{"best": "accuracy", **arguments}) as checkpoints:
        for step, accuracy in enumerate(accuracies):
            metrics = None if accuracy is None else {"accuracy": accuracy}
            checkpoints.save(step, {}, metrics=metrics)
            assert checkpoints.latest_step == step
        assert checkpoints.steps == left
        assert checkpoints.best_step == best
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"step_{step:08d}" for step in left]
    assert Checkpoints(tmp_path).steps == left


def test_latest_and_best_are_restored(tmp_path):
    with Checkpoints(tmp_path, best="loss", mode="min") as checkpoints:
        for step, loss in enumerate([0.5, 0.1, 0.3, 0.4]):
            checkpoints.save(step, {"loss": loss}, metrics={"loss": loss})
        assert checkpoints.restore({"loss": 0.0}).state == {"loss": 0.4}
        assert checkpoints.restore({"loss": 0.0}, "best").state == {"loss": 0.1}
        assert checkpoints.restore({"loss": 0.0}, 2).state == {"loss": 0.3}


def test_steps_have_as_many_digits_as_they_need(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in [99_999_999, 100_000_000]:
            checkpoints.save(step, {"step": step})
    assert Checkpoints(tmp_path).steps == [99_999_999, 100_000_000]


def test_reading_does_not_make_the_folder(tmp_path):
    folder = tmp_path / "new"
    checkpoints = Checkpoints(folder)
    assert checkpoints.latest_step is None
    assert checkpoints.best_step is None
    with pytest.raises(ValueError, match=f"no good checkpoint in {folder}"):
        checkpoints.restore({})
    assert not folder.exists()


def test_the_step_saved_or_restored_last_is_not_saved_again(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.save(1, {"a": 1})
        assert not checkpoints.save(1, {"a": 2})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore({"a": 0}).state == {"a": 1}
        assert not checkpoints.save(1, {"a": 3})
        assert checkpoints.restore({"a": 0}).state == {"a": 1}


@pytest.mark.parametrize("step", [3, 5])
def test_a_step_that_is_not_the_newest_is_refused(tmp_path, step):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, {})
    with pytest.raises(ValueError, match=f"Step {step} cannot be saved.*holds step 5"):
        Checkpoints(tmp_path).save(step, {})


DIFFERENT = [
    ({"w": jnp.ones((3, 2), jnp.bfloat16)}, r"got float32\[3,2\], expected bfloat16"),
    ({"w": jnp.ones((2, 3))}, r"w: got float32\[3,2\], expected float32\[2,3\]"),
    ({"w": 1.0}, r"w: got float32\[3,2\], expected float"),
    ({"w": jax.random.key(0)}, r"w: got float32\[3,2\], expected key<fry>\[\]"),
    ({"v": jnp.ones((3, 2))}, "v: missing; w: unexpected"),
    ({}, "w: unexpected"),
    ([jnp.ones((3, 2))], "0: missing; w: unexpected"),
    ("best", r"step_00000001 does not fit"),
]


@pytest.mark.parametrize(("target", "message"), DIFFERENT)
def test_another_dtype_shape_or_tree_is_refused(tmp_path, target, message):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.ones((3, 2))})
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(target)


def test_another_kind_of_key_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"rng": jax.random.key(0)})
        with pytest.raises(ValueError, match=r"got key<fry>\[\], expected key<rbg>"):
            checkpoints.restore({"rng": jax.random.key(0, impl="rbg")})


def test_a_long_list_of_differences_is_cut(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {str(i): i for i in range(25)})
        with pytest.raises(ValueError, match="and 5 more"):
            checkpoints.restore({})


def donated():
    x = jnp.ones(3)
    x.delete()
    return {"w": x}


UNSAVABLE = [
    (lambda: {"name": "lenet"}, "The leaf 'name' is of type str"),
    (lambda: {"name": np.array(["a"])}, "The leaf 'name' is of type <U1"),
    (lambda: {"f": print}, "The leaf 'f' is of type builtin"),
    (donated, "The array 'w' was donated"),
    (lambda: {"a/b": 1, "a": {"b": 2}}, "have the same name"),
    (lambda: {"a/b": 1, "a": 2}, "one name continues another"),
]


@pytest.mark.parametrize(("make", "message"), UNSAVABLE)
def test_what_cannot_be_saved_is_refused_and_leaves_nothing(tmp_path, make, message):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=message):
            checkpoints.save(1, make())
        assert list(tmp_path.iterdir()) == []
        assert checkpoints.save(1, {"w": 1})


ARGUMENTS = [
    ({"mode": "least"}, "mode must be 'max' or 'min', not 'least'"),
    ({"keep": 0}, "keep must be 1 or more, not 0"),
    ({"keep_best": -1}, "keep_best must be 0 or more, not -1"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Checkpoints(tmp_path, **arguments)


CALLS = [
    (lambda c: c.save(-1, {}), "step must be 0 or more, not -1"),
    (lambda c: c.save(9, {}, info={"a": {1}}), "info must be what JSON can hold"),
    (
        lambda c: c.save(9, {}, metrics={"acuracy": 1.0}),
        "told by the metric 'accuracy', but .* Did you mean 'acuracy'",
    ),
    (lambda c: c.restore({}, "lates"), "not 'lates'. Did you mean 'latest'"),
    (lambda c: c.restore({}, 4), r"no good checkpoint of step 4 .* are \[1\]"),
    (lambda c: c.metrics(4), "no good checkpoint of step 4"),
    (lambda c: c.restore({}, "best"), "no good checkpoint with the metric 'accuracy'"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_wrong_calls_are_refused(tmp_path, call, message):
    with Checkpoints(tmp_path, best="accuracy") as checkpoints:
        checkpoints.save(1, {})
        with pytest.raises(ValueError, match=message):
            call(checkpoints)


def test_the_best_needs_a_metric(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {})
        with pytest.raises(ValueError, match="name the metric, as in"):
            checkpoints.restore({}, "best")


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / ".hidden").write_text("")
    Checkpoints(tmp_path)
    (tmp_path / "100").mkdir()
    with pytest.raises(ValueError, match="not a folder of checkpoints: it holds '100'"):
        Checkpoints(tmp_path)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is a file, not a folder"):
        Checkpoints(tmp_path / "file")


def test_other_files_beside_checkpoints_are_left_alone(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, {})
        (tmp_path / "notes.txt").write_text("mine")
        checkpoints.save(2, {})
    assert Checkpoints(tmp_path).steps == [2]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_relative_paths_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints("run/checkpoints") as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(2)})
    assert (tmp_path / "run/checkpoints/step_00000001/arrays").is_dir()


def test_importing_and_opening_do_not_load_orbax(tmp_path):
    code = (
        "import sys; from jaxcnn.checkpoint import Checkpoints; import jaxcnn.lock\n"
        f"assert Checkpoints({str(tmp_path)!r}).steps == []\n"
        "sys.exit('orbax' in sys.modules or 'orbax.checkpoint' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
