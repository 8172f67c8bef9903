import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import tree

PARAMS = {
    "conv1": {"kernel": jnp.zeros((3, 3, 1, 4)), "bias": jnp.zeros(4)},
    "head": {"kernel": jnp.zeros((4, 2))},
}


def test_names_of_dictionaries_tuples_and_optimizer_states():
    names = list(tree.flatten_named(PARAMS))
    assert names == ["conv1/bias", "conv1/kernel", "head/kernel"]
    assert list(tree.flatten_named((1, {"a": [2, 3]}))) == ["0", "1/a/0", "1/a/1"]
    state = optax.trace(0.9).init(PARAMS)
    assert "trace/head/kernel" in tree.flatten_named(state)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("kernel$", {"conv1/kernel", "head/kernel"}),
        ("^conv1/", {"conv1/bias", "conv1/kernel"}),
        ("nothing", set()),
    ],
)
def test_masks_by_regular_expression(pattern, matched):
    found = tree.flatten_named(tree.mask(PARAMS, pattern))
    assert {name for name, value in found.items() if value} == matched


def test_map_named_gives_names_and_leaves():
    sizes = tree.map_named(lambda name, leaf: f"{name}:{leaf.size}", PARAMS)
    assert sizes["conv1"]["kernel"] == "conv1/kernel:36"


def test_counting_arrays_and_shapes():
    assert tree.count_params(PARAMS) == 36 + 4 + 8
    assert tree.count_params(jax.eval_shape(lambda: PARAMS)) == 48
    assert tree.count_params({"scalar": np.float32(1)}) == 1


def test_differences_are_listed_with_both_sides():
    got = {"a": jnp.zeros(3), "b": jnp.zeros(2, jnp.int32), "extra": jnp.zeros(1)}
    expected = {"a": jnp.zeros(4), "b": jnp.zeros(2), "lost": jnp.zeros(1)}
    assert tree.describe_differences(got, expected) == [
        "a: got float32[3], expected float32[4]",
        "b: got int32[2], expected float32[2]",
        "extra: unexpected",
        "lost: missing",
    ]
    assert tree.describe_differences(PARAMS, PARAMS) == []
    assert tree.describe_differences({"a": 1}, {"a": "x"}) == [
        "a: got int, expected str"
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("lenett", " Did you mean 'lenet'?"), ("xyz", ""), ("resnet5", None)],
)
def test_the_nearest_name(name, hint):
    found = tree.nearest(name, ["lenet", "resnet50", "resnet18"])
    assert found == (" Did you mean 'resnet50'?" if hint is None else hint)
