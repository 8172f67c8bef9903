"""AlexNet, VGG and SqueezeNet: names, options, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.models import VGG, alexnet, capture, feature_info, squeezenet1_0, vgg19
from jaxcnn.models.squeezenet import SqueezeNet
from jaxcnn.tree import flatten_named


@pytest.mark.thorough
@pytest.mark.parametrize("norm", [False, True])
def test_vggs_paths_lead_before_and_behind_the_activation(norm):
    model = VGG((1, 2), norm=norm, width=4, hidden=8, num_classes=3)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    last = "norm" if norm else "conv"
    paths = ["conv2_2", f"conv2_2/{last}"]
    behind, before = capture(model, variables, images, paths).values()
    assert before.min() < 0
    np.testing.assert_array_equal(behind, jax.nn.relu(before))


def test_vgg19_has_the_names_that_style_transfer_uses():
    paths = [feature.path for feature in feature_info(vgg19(), (32, 32, 3))]
    assert paths == ["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"]


@pytest.mark.thorough
@pytest.mark.parametrize("make", [alexnet, vgg19, squeezenet1_0])
def test_dropout_acts_in_training_alone(make):
    small = {"hidden": 8} if make is not squeezenet1_0 else {}
    model = make(num_classes=3, **small)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    jax.eval_shape(model.apply, variables, images)
    with pytest.raises(Exception, match='needs PRNG for "dropout"'):
        jax.eval_shape(lambda v, x: model.apply(v, x, train=True), variables, images)


@pytest.mark.thorough
@pytest.mark.parametrize("padding", [0, 1])
def test_squeezenets_head_padding_counts_in_the_mean(padding):
    """Around a map of 2x2 come 12 positions where the head gives its bias alone."""
    model = SqueezeNet(
        4, 3, (2,), (2,), pools=(1,), head_padding=padding, num_classes=3
    )
    images = np.ones((1, 9, 9, 3), np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    head = variables["params"]["head"]
    head["bias"] = jnp.array([1.0, -1.0, 0.0])
    head["kernel"] = jnp.zeros_like(head["kernel"])
    apply = jax.jit(model.apply)
    logits = apply(variables, images)
    np.testing.assert_allclose(logits, [[1, 0, 0]], atol=1e-6)
    head["kernel"] = jnp.ones_like(head["kernel"])
    head["bias"] = jnp.zeros(3)
    inside = jax.jit(model.clone(head_padding=0).apply)(variables, images)
    share = {0: 1, 1: 4 / 16}[padding]
    np.testing.assert_allclose(apply(variables, images), share * inside, 1e-5)
    assert inside.min() > 0


@pytest.mark.thorough
@pytest.mark.parametrize("pool", ["max", "average"])
def test_pools_are_the_largest_values_or_means(pool):
    """What the convolution behind the first pool gives, from what is before it."""
    vgg = VGG((1, 1), width=2, hidden=3, num_classes=2, pool=pool)
    squeeze = SqueezeNet(4, 3, (2,), (2,), pools=(1,), num_classes=2, pool=pool)
    images = np.random.default_rng(0).uniform(size=(2, 11, 11, 3)).astype(np.float32)
    cases = {
        vgg: ("conv1_1", "conv2_1/conv", 2),
        squeeze: ("conv1", "fire2/squeeze", 3),
    }
    for model, (first, second, window) in cases.items():
        variables = jax.jit(model.init)(jax.random.key(0), images)
        found = capture(model, variables, images, [first, second])
        pooling = {"max": nn.max_pool, "average": nn.avg_pool}[pool]
        pooled = pooling(found[first], (window, window), (2, 2))
        layer = flatten_named(variables["params"])
        path = second.removesuffix("/conv") + "/conv"
        expected = jax.lax.conv_general_dilated(
            pooled,
            layer[f"{path}/kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if model is squeeze:
            expected = nn.relu(expected)
        np.testing.assert_allclose(found[second], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: alexnet(features=(4, 4)), "features needs the channels of 5 conv"),
        (lambda: alexnet(dropout=1), "dropout must be a number .* less than 1, got 1"),
        (lambda: alexnet(hidden=0), "hidden must be .* at least 1, got 0"),
        (lambda: vgg19(width=0), "width must be .* at least 1, got 0"),
        (lambda: vgg19(hidden=0), "hidden must be .* at least 1, got 0"),
        (lambda: vgg19(dropout=-1), "dropout must be a number .* got -1"),
        (lambda: VGG((2, 0)), "stage_sizes must be .* at least 1, got 0"),
        (lambda: squeezenet1_0(head_padding=-1), "head_padding must be .* got -1"),
        (lambda: squeezenet1_0(pool="avg"), "pool='avg' is unknown.*'max', 'average'"),
        (lambda: vgg19(pool="mean"), "pool='mean' is unknown.*'max', 'average'"),
        (lambda: squeezenet1_0(dropout=2), "dropout must be a number .* got 2"),
        (lambda: squeezenet1_0(squeeze=(4,)), "squeeze and expand must have a number"),
        (lambda: SqueezeNet(0, 3), "features must be .* at least 1, got 0"),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
