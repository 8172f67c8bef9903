"""Drawing parts of a model again."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn import reinitialize
from jaxcnn.tree import describe_differences, flatten_named


def variables_of(**options):
    model = jaxcnn.create_model("cnn", features=(3, 4), norm="batch", **options)
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.tree.map(lambda leaf: jnp.asarray(np.full(leaf.shape, 0.5, "f")), shapes)


@pytest.fixture(scope="module")
def variables():
    return variables_of()


def changed(old, new):
    old, new = flatten_named(old), flatten_named(new)
    return {name for name in old if not np.array_equal(old[name], new[name])}


def test_only_what_matches_is_drawn(variables, key):
    before = jax.tree.map(np.array, variables)
    new = reinitialize(variables, key, {"head/kernel": "he_normal"})
    assert changed(variables, new) == {"params/head/kernel"}
    assert not changed(variables, before)
    assert not describe_differences(new, variables)
    for name, leaf in flatten_named(variables).items():
        if name != "params/head/kernel":
            assert flatten_named(new)[name] is leaf


def test_the_initialiser_is_the_one_asked_for(variables, key):
    new = reinitialize(
        variables,
        key,
        {
            "stage2.*kernel$": "orthogonal",
            "stage1.*/scale": lambda key, shape, dtype: jnp.full(shape, 7, dtype),
            "^batch_stats/.*2.*var": "ones",
        },
    )
    kernel = np.asarray(new["params"]["stage2_conv1"]["kernel"]).reshape(-1, 4)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-5)
    assert new["params"]["stage1_norm1"]["scale"].tolist() == [7, 7, 7]
    assert changed(variables, new) == {
        "batch_stats/stage2_norm1/var",
        "params/stage1_norm1/scale",
        "params/stage2_conv1/kernel",
    }


def test_the_last_regex_that_matches_counts(variables, key):
    new = reinitialize(variables, key, {"kernel": "normal", "head/": "ones"})
    assert (new["params"]["head"]["kernel"] == 1).all()
    new = reinitialize(variables, key, {"head/": "ones", "kernel": "normal"})
    assert (new["params"]["head"]["bias"] == 1).all()
    assert jnp.abs(new["params"]["head"]["kernel"]).max() < 0.1


def test_a_leaf_depends_on_the_key_and_its_name_alone(variables, key):
    alone = reinitialize(variables, key, {"head/kernel": "normal"})
    together = reinitialize(variables, key, {"bias": "ones", "kernel": "normal"})
    other = reinitialize(
        variables_of(hidden=(5,), num_classes=10), key, {"kernel": "normal"}
    )
    for tree in (together, reinitialize(alone, key, {"head/kernel": "normal"})):
        np.testing.assert_array_equal(
            tree["params"]["head"]["kernel"], alone["params"]["head"]["kernel"]
        )
    # Another model with a layer of the same name and shape.
    for stage in ("stage1_conv1", "stage2_conv1"):
        np.testing.assert_array_equal(
            other["params"][stage]["kernel"], together["params"][stage]["kernel"]
        )
    again = reinitialize(variables, jax.random.key(1), {"head/kernel": "normal"})
    assert changed(alone, again) == {"params/head/kernel"}


def test_leaves_of_one_shape_differ(key):
    tree = {"params": {name: {"kernel": jnp.zeros((3, 3))} for name in "abc"}}
    leaves = flatten_named(reinitialize(tree, key, {"kernel": "normal"})).values()
    assert len({leaf.tobytes() for leaf in map(np.asarray, leaves)}) == 3


def test_the_draw_is_known(key):
    """The name's checksum is folded in: the same in every process and version."""
    tree = {"params": {"a": {"kernel": jnp.zeros((2, 2))}}}
    new = reinitialize(tree, key, {"kernel": "normal"})["params"]["a"]["kernel"]
    expected = jax.nn.initializers.normal(0.01)(
        jax.random.fold_in(key, 0xBBD02432), (2, 2)
    )
    np.testing.assert_array_equal(new, expected)


def test_types_are_kept_and_it_can_be_compiled(key):
    tree = {"params": {"kernel": jnp.zeros((4, 4), jnp.bfloat16)}}
    draw = jax.jit(lambda tree, key: reinitialize(tree, key, {"kernel": "he_normal"}))
    assert draw(tree, key)["params"]["kernel"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("initializers", "message"),
    [
        (
            {"hed/kernel": "zeros"},
            "'hed/kernel' matches no leaf. Did you mean 'head/kernel'?",
        ),
        ({"^head$": "zeros"}, "matches no leaf. Did you mean 'head'?"),
        ({"qqqq": "zeros"}, "The leaves are named like 'batch_stats/"),
        ({"head(": "zeros"}, "'head(' is no regular expression"),
        (
            {"head": "zeross"},
            "initializers['head']='zeross' is unknown. Did you mean 'zeros'?",
        ),
        ({"head": 3}, "initializers['head']=3 is unknown"),
        ({"head": "constant"}, "'constant' needs the argument 'value'"),
        (
            {"head": "he_normal"},
            "params/head/bias of shape (10,) cannot be drawn by 'he_normal'",
        ),
    ],
)
def test_mistakes_are_explained(variables, key, initializers, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        reinitialize(variables, key, initializers)
