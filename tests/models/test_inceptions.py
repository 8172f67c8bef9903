"""GoogLeNet, the later Inceptions and Xception: branches, auxiliary heads, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import Branches, Unit
from jaxcnn.models import (
    GoogLeNet,
    feature_info,
    googlenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
    xception,
)
from jaxcnn.models.inception_resnet import InceptionResidual
from jaxcnn.ops import max_pool
from jaxcnn.tree import count_params, flatten_named

pytestmark = pytest.mark.thorough


def shapes_of(model, image, train):
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    return jax.eval_shape(
        lambda rngs, x: model.init_with_output(rngs, x, train=train), rngs, images
    )


# torchvision: sum(p.numel() for p in models.googlenet().parameters()), and likewise.
@pytest.mark.parametrize(
    ("make", "size", "heads", "params"),
    [(googlenet, 32, 2, 13_004_888), (inception_v3, 299, 1, 27_161_264)],
)
def test_auxiliary_heads(make, size, heads, params):
    model = make(aux_heads=True)
    evaluated, variables = shapes_of(model, (size, size, 3), train=False)
    trained, same = shapes_of(model, (size, size, 3), train=True)
    assert evaluated.shape == (2, 1000)
    assert set(trained) == {"logits", "aux"}
    logits = [trained["logits"], *trained["aux"]]
    assert [x.shape for x in logits] == [(2, 1000)] * (1 + heads)
    assert {x.dtype for x in logits} == {jnp.dtype("float32")}
    assert jax.tree.structure(same) == jax.tree.structure(variables)
    assert count_params(variables["params"]) == params


def test_a_stage_of_many_modules_has_a_name_for_each():
    model = googlenet(stages=(((1,) * 6,), ((1,) * 6,) * 28), num_classes=3)
    _, variables = shapes_of(model, (32, 32, 3), train=False)
    modules = {name for name in variables["params"] if name.startswith("inception4")}
    assert len(modules) == 28
    assert {"inception4a", "inception4z", "inception4ab"} <= modules


def test_the_last_of_many_modules_is_an_endpoint():
    model = googlenet(stages=(((1,) * 6,), ((1,) * 6,) * 9))
    assert feature_info(model, (32, 32, 3))[-1].path == "inception4i"


def test_evaluation_needs_no_images_of_the_auxiliary_heads_size():
    model = inception_v3(aux_heads=True, num_classes=3)
    _, variables = shapes_of(model, (299, 299, 3), train=False)
    images = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    assert jax.eval_shape(model.apply, variables, images).shape == (1, 3)
    with pytest.raises(ValueError, match=r"at least 299x299, got shape \(2, 298, 299"):
        shapes_of(model, (298, 299, 3), train=True)


def test_branches_are_named_pooled_and_concatenated_in_order():
    branches = (
        ("one", Unit(4)),
        ("two", Unit(6), (Unit(8, (1, 3)), Unit(2, (3, 1)))),
        ("pooled", "max"),
    )
    module = Branches(branches, width=0.5)
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 3)).astype(np.float32)
    y, variables = jax.jit(
        lambda: module.init_with_output(jax.random.key(0), x, train=False)
    )()
    kernels = {
        name: leaf.shape
        for name, leaf in flatten_named(variables["params"]).items()
        if name.endswith("kernel")
    }
    assert kernels == {
        "one/conv/kernel": (1, 1, 3, 2),
        "two_1/conv/kernel": (1, 1, 3, 3),
        "two_2a/conv/kernel": (1, 3, 3, 4),
        "two_2b/conv/kernel": (3, 1, 3, 1),
    }
    assert y.shape == (1, 5, 5, 2 + 4 + 1 + 3)
    np.testing.assert_array_equal(y[..., -3:], max_pool(x, 3, 1, 1))


@pytest.mark.parametrize("activation", [True, False])
def test_a_residual_block_adds_a_share(activation):
    block = InceptionResidual((("one", Unit(2)),), 0.5, activation)
    x = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype(np.float32)
    variables = jax.jit(lambda: block.init(jax.random.key(0), x, train=False))()
    expand = variables["params"]["expand"]
    expand["kernel"] = jnp.zeros_like(expand["kernel"])
    expand["bias"] = jnp.full(4, 3.0)
    y = block.apply(variables, x, train=False)
    expected = np.maximum(x + 1.5, 0) if activation else x + 1.5
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "size", "reductions"),
    [
        (googlenet(), 224, [2, 4, 8, 16, 32]),
        (inception_v3(channels_7x7=(128,)), 299, [2, 4, 9, 18, 37]),
        (inception_v4(blocks=(1, 1, 1)), 299, [2, 4, 9, 18, 37]),
        (inception_resnet_v2(blocks=(1, 1, 1)), 299, [2, 4, 9, 18, 37]),
        (xception(middle_blocks=1), 299, [2, 4, 8, 16, 30]),
    ],
)
def test_endpoints_halve_the_map(model, size, reductions):
    """Convolutions that do not pad crop: 299 pixels become 8 positions."""
    features = feature_info(model, (size, size, 3))
    assert [feature.reduction for feature in features] == reductions


def test_xceptions_paddings_differ_for_even_maps():
    images = np.random.default_rng(0).normal(size=(1, 13, 13, 3)).astype(np.float32)
    options = {"middle_blocks": 0, "width": 1 / 32, "num_classes": 0}
    model = xception(**options)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    keras = xception(padding="tensorflow", **options)
    same, tensorflow = (
        jax.jit(each.apply)(variables, images) for each in (model, keras)
    )
    assert not np.allclose(same, tensorflow)


THREE = (((8,) * 6,), ((8,) * 6,) * 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: googlenet(width=0), "width must be above 0, got 0"),
        (lambda: googlenet(aux_dropout=1), "aux_dropout must be .* got 1"),
        (lambda: googlenet(dropout=1), "dropout must be .* got 1"),
        (lambda: GoogLeNet((((8,) * 5,),)), "stages needs six numbers for each module"),
        (lambda: GoogLeNet(THREE, aux_heads=True), "needs a second stage of three"),
        (lambda: googlenet(aux_heads=True, num_classes=0), "aux_heads=True needs cl"),
        (lambda: inception_v3(aux_heads=True, num_classes=0), "aux_heads=True needs c"),
        (lambda: inception_v3(pool_features=(0,)), "pool_features must be .* got 0"),
        (lambda: inception_v3(channels_7x7=8), "channels_7x7 must be a sequence"),
        (lambda: inception_v3(last_modules=-1), "last_modules must be .* got -1"),
        (lambda: inception_v4(blocks=(1, 2)), r"blocks needs three numbers, got \(1, "),
        (lambda: inception_v4(width=-1), "width must be a number .* got -1"),
        (lambda: inception_resnet_v2(blocks=(1,)), "blocks needs three numbers"),
        (lambda: inception_resnet_v2(blocks=(1, 0, 1)), "blocks must be .* got 0"),
        (lambda: xception(padding="keras"), "padding='keras' .*'same', 'tensorflow'"),
        (lambda: xception(middle_blocks=-1), "middle_blocks must be .* got -1"),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_pool_is_explained():
    module = Branches((("one", "mean"),))
    with pytest.raises(ValueError, match=r"pool='mean' is unknown.*'avg_inside'"):
        module.init(jax.random.key(0), jnp.ones((1, 4, 4, 1)), train=False)
