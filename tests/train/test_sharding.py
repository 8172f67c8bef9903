"""Fully sharded state gives the numbers of one device, in a part of the memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax._src import test_util as jtu
from jax.sharding import PartitionSpec

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.optim import make_optimizer, set_rate_factor
from jaxcnn.train import (
    Shard,
    classification,
    device_bytes,
    evaluate,
    init_state,
    make_eval_step,
    make_mesh,
    make_train_step,
    parallelize,
    placed,
    state_shardings,
)

P = PartitionSpec
TX = optax.adam(0.01)
MODEL = nets.ConvNet(features=8)
HYBRID = {"data": 2, "fsdp": 4}


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(HYBRID)


def new_state(tx=TX, shardings=None):
    key = jax.random.key(0)
    return init_state(MODEL, tx, key, nets.EXAMPLE, shardings=shardings)


def shapes(tx=TX):
    return jax.eval_shape(lambda: new_state(tx))


def sharded_step(mesh, tx=TX, shard=16, **options):
    step = make_train_step(MODEL, tx, classification())
    return parallelize(step, mesh, shard=shard, **options)


def run(step, state, steps=5, start=0):
    for k in range(start, start + steps):
        state, _ = step(state, nets.batch_of(k))
    return state


def specs(tree):
    return jax.tree.map(lambda x: x.sharding.spec, tree)


def test_the_largest_axis_that_divides_is_split_and_the_moments_follow(mesh):
    found = state_shardings(shapes(), mesh, Shard(min_size=16))
    spec = jax.tree.map(lambda s: s.spec, found)
    assert spec.params["conv"]["kernel"] == P(None, None, None, "fsdp")  # 3, 3, 1, 8
    assert spec.params["head"]["kernel"] == P("fsdp")  # 8, 3
    assert spec.params["head"]["bias"] == P()  # too small
    adam = spec.opt_state[0]
    assert adam.mu["head"]["kernel"] == adam.nu["head"]["kernel"] == P("fsdp")
    assert adam.count == spec.step == spec.rng == P()
    assert spec.model_state["batch_stats"]["norm"]["mean"] == P()


def test_the_first_rule_that_matches_wins_over_the_size(mesh):
    rules = [("^head/kernel", None), ("kernel$", -1), ("^head", None)]
    spec = jax.tree.map(
        lambda s: s.spec, state_shardings(shapes(), mesh, Shard(1, rules)).params
    )
    assert spec["head"]["kernel"] == P()
    assert spec["conv"]["kernel"] == P(None, None, None, "fsdp")
    assert spec["norm"]["scale"] == P("fsdp")  # by size


def test_a_copy_of_the_weights_in_the_extras_follows_them(mesh):
    state = shapes()
    state = state.replace(extras={"ema": {"params": state.params}})
    spec = state_shardings(state, mesh, Shard(16)).extras["ema"]["params"]["head"]
    assert spec["kernel"].spec == P("fsdp")


def test_of_names_that_end_alike_the_longest_decides(mesh):
    """`kernel` at the top, and `head/kernel` of another shape below."""
    params = {"kernel": jnp.zeros((4, 3)), "head": {"kernel": jnp.zeros((4, 3))}}
    scalar = jnp.zeros(())
    state = shapes().replace(
        params=params, model_state={}, opt_state={"mu": params, "count": scalar}
    )
    rules = [("^kernel", None), ("^head/kernel", 0)]
    moments = state_shardings(state, mesh, Shard(rules=rules)).opt_state["mu"]
    assert moments["kernel"].spec == P()
    assert moments["head"]["kernel"].spec == P("fsdp")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"name": "adam", "learning_rate": 0.01}, id="adam"),
        *(
            pytest.param(options, id=name, marks=pytest.mark.thorough)
            for name, options in {
                "muon": {"name": "muon", "learning_rate": 0.01},
                "momentum": {"name": "momentum", "learning_rate": 0.1},
                "lars": {"name": "lars", "learning_rate": 0.1},
                "lookahead": {"name": "adam", "learning_rate": 0.01, "lookahead": 2},
                "clipped": {"name": "sgd", "learning_rate": 0.1, "clip_norm": 0.1},
                "adaptive": {"name": "sgd", "learning_rate": 0.1, "clip_adaptive": 0.1},
                "rules": {
                    "name": "adam",
                    "learning_rate": 0.01,
                    "rules": [("^conv", None), ("^head", 0.5)],
                },
            }.items()
        ),
    ],
)
def test_five_steps_are_those_of_one_device(mesh, options):
    options = dict(options)
    tx = make_optimizer(options.pop("name"), **options)
    one = parallelize(make_train_step(MODEL, tx, classification()))
    step = sharded_step(mesh, tx)
    first = new_state(tx, step.shardings)
    state = run(step, first, steps=1)
    assert first.params["conv"]["kernel"].is_deleted()
    with jtu.count_jit_compilation_cache_miss() as compiled:
        state = run(step, state, steps=4, start=1)
    assert compiled() == 0
    nets.assert_close(run(one, new_state(tx)), state, atol=1e-5)
    assert specs(state) == jax.tree.map(lambda s: s.spec, step.shardings(state))
    assert state.params["conv"]["kernel"].sharding.spec == P(None, None, None, "fsdp")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({"accumulate": 2}, MODEL),
        ({"accumulate": 2}, nets.ConvNet(features=8, dtype=jnp.bfloat16)),
    ],
    ids=["accumulation", "accumulation in bfloat16"],
)
def test_with_accumulation_and_mixed_precision_it_is_the_same(mesh, options, model):
    """Muon on top, whose update of a kernel needs the whole of it."""
    tx = make_optimizer("muon", learning_rate=0.01)
    step = make_train_step(model, tx, classification(), **options)
    one = run(parallelize(step), new_state(tx))
    many = parallelize(step, mesh, shard=16)
    state = run(many, new_state(tx, many.shardings))
    # In bfloat16 sums in another order round apart, and Muon and Adam scale that up.
    nets.assert_close(one, state, atol=1e-5 if model is MODEL else 2e-2)
    assert specs(state) == jax.tree.map(lambda s: s.spec, many.shardings(state))


@pytest.mark.thorough
def test_a_rate_reduced_between_steps_compiles_nothing_anew(mesh):
    tx = make_optimizer("momentum", learning_rate=0.1, rate_factor=True)
    many = sharded_step(mesh, tx)
    states = []
    for step in (parallelize(make_train_step(MODEL, tx, classification())), many):
        state = run(step, new_state(tx, step.shardings), steps=3)
        opt_state = set_rate_factor(state.opt_state, 0.1)
        with jtu.count_jit_compilation_cache_miss() as compiled:
            state = run(step, state.replace(opt_state=opt_state), steps=2, start=3)
        assert compiled() == 0
        states.append(state)
    nets.assert_close(*states, atol=1e-5)


@pytest.mark.thorough
def test_a_state_is_created_in_parts(mesh):
    state = new_state(shardings=sharded_step(mesh).shardings)
    nets.assert_close(new_state(), state, atol=1e-7)
    kernel, moment = state.params["conv"]["kernel"], state.opt_state[0].mu
    for whole in (kernel, moment["conv"]["kernel"]):
        assert {part.data.shape for part in whole.addressable_shards} == {(3, 3, 1, 2)}
    assert max(device_bytes(state).values()) < max(device_bytes(new_state()).values())


def test_no_device_holds_the_whole_while_it_is_created():
    """By the compiler's account: outputs and temporary values of each device."""
    model = nets.Linear(4096)
    shard = functools.partial(
        state_shardings, mesh=make_mesh({"fsdp": 8}), shard=Shard(16)
    )

    def init(key):
        return init_state(model, TX, key, nets.EXAMPLE, shardings=shard)

    memory = jax.jit(init).lower(jax.random.key(0)).compile().memory_analysis()
    kernel = 4 * model.features * 36
    assert 3 / 8 * kernel <= memory.output_size_in_bytes < 3.1 / 8 * kernel
    assert memory.output_size_in_bytes + memory.temp_size_in_bytes < kernel


@pytest.mark.thorough
def test_a_device_needs_less_memory_for_a_step(mesh):
    model = nets.Linear(4096)
    abstract = jax.eval_shape(
        lambda: init_state(model, TX, jax.random.key(0), nets.EXAMPLE)
    )
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nets.batch_of(0)
    )
    step = make_train_step(model, TX, classification())
    memory = [
        parallelize(step, mesh, shard=shard)
        .compiled.lower(abstract, batch)
        .compile()
        .memory_analysis()
        for shard in (None, 16)
    ]
    held = [m.argument_size_in_bytes for m in memory]
    peak = [m.argument_size_in_bytes + m.temp_size_in_bytes for m in memory]
    assert held[1] < held[0] / 3
    assert peak[1] < peak[0]
    # What is donated is written over: all of the state but for some bytes.
    assert memory[1].alias_size_in_bytes > 0.95 * memory[1].output_size_in_bytes


@pytest.mark.parametrize("shard", [16, pytest.param(None, marks=pytest.mark.thorough)])
def test_evaluation_of_a_sharded_state(mesh, shard):
    state = new_state(shardings=sharded_step(mesh).shardings)
    plain = make_eval_step(MODEL, classification())
    wanted = evaluate(jax.jit(plain), new_state(), [nets.batch_of(0)])
    step = parallelize(plain, mesh, shard=shard)
    found = evaluate(step, state, [nets.batch_of(0)])
    assert found == pytest.approx(wanted, abs=1e-6)
    assert not state.step.is_deleted()


def test_an_own_step_that_returns_the_state_alone_keeps_it_sharded(mesh):
    step = parallelize(lambda state, batch: state, mesh, shard=16)
    state = step(new_state(), nets.batch_of(0))
    assert state.params["head"]["kernel"].sharding.spec == P("fsdp")


LAYOUTS = {
    "the same": lambda: sharded_step(make_mesh(HYBRID)),
    "eight ways": lambda: sharded_step(make_mesh({"fsdp": 8}), shard=[("conv", 3)]),
    "copies": lambda: sharded_step(make_mesh(), shard=None),
    "one device": lambda: parallelize(make_train_step(MODEL, TX, classification())),
}


def test_a_sharded_checkpoint_is_restored_in_every_layout(mesh, tmp_path):
    """No value of the target is there: only shapes, and where they go."""
    layout = state_shardings(shapes(), mesh, Shard(16))
    state = jax.device_put(new_state(), layout)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state)
        for name, make in LAYOUTS.items():
            target, shardings = shapes(), make().shardings
            if shardings is not None:
                target = placed(target, shardings(target))
            restored = checkpoints.restore(target).state
            nets.assert_same(state, restored)
            if shardings is not None:
                assert specs(restored) == jax.tree.map(
                    lambda s: s.spec, shardings(target)
                ), name


@pytest.mark.thorough
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sharded_checkpoint_goes_on_in_another_layout(mesh, layout, tmp_path):
    step, other = sharded_step(mesh), LAYOUTS[layout]()
    state = run(step, new_state(shardings=step.shardings), steps=3)
    target = shapes()
    if other.shardings is not None:
        target = placed(target, other.shardings(target))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state)
        restored = checkpoints.restore(target).state
    one = run(step, state, steps=2, start=3)
    nets.assert_close(one, run(other, restored, steps=2, start=3), atol=1e-5)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        (0, "min_size must be 1 or more, got 0"),
        ("kernel", r"rules must be a list of \(regex, axis\), got 'kernel'"),
        (["kernel"], r"rules\[0\] must be a pair \(regex, axis\), got 'kernel'"),
        ([("(", 0)], r"rules\[0\] must begin with a regular expression, got '\('"),
        ([("head", "x")], r"gives 'head' the axis 'x': it must be a whole number"),
        ([("head", None)], "needs min_size, or a rule"),
        ([("haed", 0)], r"rules\[0\]='haed' matches none of the parameters: conv/ker"),
        ([("head/k", 2)], r"axis 2 of 'head/kernel', \[8, 3\], which has no such axis"),
        ([("head/k", 1)], r"over the 4 devices of 'fsdp', which do not divide 3"),
        (10**6, "splits no parameter over 4 devices: the largest has 72 numbers"),
        (Shard(16, axis="fdsp"), r"no axis 'fdsp' to split.*Did you mean 'fsdp'\?"),
    ],
)
def test_bad_rules(mesh, shard, message):
    with pytest.raises(ValueError, match=message):
        sharded_step(mesh, shard=shard).shardings(shapes())


def test_only_a_mesh_and_a_tree_with_parameters_can_be_sharded(mesh):
    step = make_train_step(MODEL, TX, classification())
    with pytest.raises(ValueError, match=r"shard needs a jax.sharding.Mesh, got 'jit'"):
        parallelize(step, "jit", shard=16)
    with pytest.raises(ValueError, match="needs a TrainState, or another tree"):
        parallelize(step, mesh, shard=16)({"weights": np.zeros(8)}, nets.batch_of(0))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ({"data": 2, "fsdp": 4}, {"data": 2, "fsdp": 4}),
        ({"data": -1, "fsdp": 4}, {"data": 2, "fsdp": 4}),
        ({"fsdp": 4}, {"fsdp": 4}),
    ],
)
def test_meshes_of_several_axes(axes, shape):
    assert dict(make_mesh(axes).shape) == shape


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"data": 0}, "mesh axis 'data' must be 1 or more, or -1 for the rest, got 0"),
        ({"data": -1, "fsdp": -1}, "at most one of size -1"),
        ({}, "A mesh needs an axis"),
        ({"data": 3, "fsdp": 3}, "does not fit 8 devices: its axes make 9"),
        ({"data": 3, "fsdp": -1}, "does not fit 8 devices: its axes make 3"),
    ],
)
def test_meshes_that_do_not_fit(axes, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(axes)
