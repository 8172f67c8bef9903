"""Models with another head, behind all or cut at an early submodule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn import capture, create_model, list_models
from jaxcnn.models.counts import usual_image_shape
from jaxcnn.models.features import endpoint_paths, has_endpoints
from jaxcnn.transfer import with_head
from jaxcnn.tree import flatten_named

FAMILIES = {}
for _name in list_models(kind="classifier"):
    _model = create_model(_name)
    if has_endpoints(_model) and _name != "capsnet":  # capsules, not channels
        FAMILIES.setdefault(type(_model), _name)


def images_of(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


class Net(nn.Module):
    """A user's own network, of no family."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
        x = nn.Conv(6, (3, 3), name="second")(x)
        x = nn.remat(nn.Conv)(8, (3, 3), name="third")(x)
        return nn.Dense(5, name="last")(x.mean((1, 2)))


@pytest.mark.thorough
@pytest.mark.parametrize("path", ["first", "second"])
def test_a_cut_gives_the_head_what_the_submodule_gives(path):
    images = images_of(2, 8, 8, 1)
    model = with_head(Net(), 3, cut_at=path)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    kept = {"first": {"first", "head"}, "second": {"first", "second", "head"}}
    assert set(variables["params"]) == kept[path]
    whole = jax.jit(Net().init)(jax.random.key(1), images)
    params = {**whole["params"], **variables["params"]}
    inside = capture(Net(), {"params": params}, images, [path])[path].mean((1, 2))
    head = variables["params"]["head"]
    np.testing.assert_allclose(
        model.apply(variables, images),
        inside @ head["kernel"] + head["bias"][None],
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_cut_before_a_submodule_takes_its_input():
    images = images_of(2, 28, 28, 1)
    model = with_head(create_model("lenet"), 3, cut_at="before:conv2")
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert set(variables["params"]) == {"conv1", "head"}
    whole = jax.jit(create_model("lenet").init)(jax.random.key(1), images)
    params = {**whole["params"], "conv1": variables["params"]["conv1"]}
    first = capture(create_model("lenet"), {"params": params}, images, ["conv1"])
    inside = nn.relu(nn.max_pool(first["conv1"], (2, 2), (2, 2))).mean((1, 2))
    head = variables["params"]["head"]
    expected = inside @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(
        model.apply(variables, images), expected, rtol=1e-4, atol=1e-5
    )


def test_a_cut_computes_nothing_behind_it():
    images = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)

    def flops(model):
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        return jax.jit(model.apply).lower(variables, images).cost_analysis()["flops"]

    assert flops(with_head(Net(), 3, cut_at="first")) < 0.2 * flops(Net())


def test_heads_of_the_users_shape():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            assert x.shape == (1, 8, 8, 4)  # not pooled
            return nn.Dense(2, name="out")(x.max((1, 2)))

    def shapes(**options):
        model = with_head(Net(), 3, cut_at="first", **options)
        image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
        return {k: v.shape for k, v in flatten_named(params["head"]).items()}

    assert shapes() == {"bias": (3,), "kernel": (4, 3)}
    assert shapes(hidden=(7,), dropout=0.5) == {
        "hidden1/bias": (7,),
        "hidden1/kernel": (4, 7),
        "out/bias": (3,),
        "out/kernel": (7, 3),
    }
    assert shapes(head=Own()) == {"out/bias": (2,), "out/kernel": (4, 2)}


def test_a_head_in_place_of_the_models_own():
    model = with_head(create_model("cnn", features=(3, 5)), 2, dropout=0.5)
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    assert set(params) == {"stage1_conv1", "stage2_conv1", "head"}
    assert params["head"]["out"]["kernel"].shape[1] == 2


def test_a_path_that_the_model_never_calls_is_named():
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    model = with_head(create_model("cnn", features=(3, 5)), 2, cut_at="stage2_conv")
    with pytest.raises(ValueError, match="Did you mean 'stage2_conv1'"):
        jax.eval_shape(model.init, jax.random.key(0), image)


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAMILIES.values())
def test_every_family_is_cut_at_its_second_endpoint(name):
    model = create_model(name)
    path = endpoint_paths(model)[min(1, len(endpoint_paths(model)) - 1)]
    cut = with_head(model, 3, cut_at=path)
    image = jax.ShapeDtypeStruct((1, *usual_image_shape(name)), jnp.float32)
    logits, variables = jax.eval_shape(cut.init_with_output, jax.random.key(0), image)
    assert logits.shape == (1, 3)
    whole = jax.eval_shape(model.init, jax.random.key(0), image)
    ours, theirs = flatten_named(variables), flatten_named(whole)
    body = {k: v for k, v in ours.items() if not k.startswith("params/head/")}
    assert body.items() <= theirs.items()
    assert len(body) < len(theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no field num_classes that could be 0"),
        ({"cut_at": "frist"}, "cut_at='frist'.*Did you mean 'first'"),
        ({"cut_at": "before:thrid"}, "cut_at='before:thrid'.*Did you mean 'third'"),
        ({"cut_at": "third"}, r"'third' lies in a module that nn.remat"),
        ({"cut_at": "first", "dropout": 1.0}, "dropout must be a number"),
        ({"cut_at": "first", "hidden": (0,)}, "hidden"),
        ({"head": Net(), "dropout": 0.5}, "not with head="),
    ],
)
def test_what_cannot_be(options, message):
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)

    def build():
        model = with_head(Net(), 3, **options)
        jax.eval_shape(model.init, jax.random.key(0), image)

    with pytest.raises(ValueError, match=message):
        build()
