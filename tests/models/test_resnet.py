"""Residual networks: strides, shortcuts, identity at the start, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet20_cifar,
    resnet50,
)
from jaxcnn.tree import flatten_named


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def outputs_of(model, image):
    """Returns the shape of every layer's output for one image."""
    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    _, variables = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0), x, capture_intermediates=True
        ),
        images,
    )
    outputs = flatten_named(variables["intermediates"])
    return {name.removesuffix("/__call__/0"): x.shape for name, x in outputs.items()}


def test_resnet50_is_v1_5_with_the_stride_on_the_3x3():
    outputs = outputs_of(resnet50(), (224, 224, 3))
    assert outputs["stem"] == (1, 112, 112, 64)
    assert outputs["stage1_block1"] == (1, 56, 56, 256)
    assert outputs["stage2_block1/reduce"] == (1, 56, 56, 128)
    assert outputs["stage2_block1/conv"] == (1, 28, 28, 128)
    assert outputs["stage4_block3"] == (1, 7, 7, 2048)


def test_shortcuts_are_projected_only_where_the_shape_changes():
    blocks = {
        name.split("/")[0]
        for name in outputs_of(resnet18(), (64, 64, 3))
        if "/shortcut" in name
    }
    assert blocks == {f"stage{stage}_block1" for stage in (2, 3, 4)}
    blocks = {
        name.split("/")[0]
        for name in outputs_of(resnet50(), (64, 64, 3))
        if "/shortcut" in name
    }
    assert blocks == {f"stage{stage}_block1" for stage in (1, 2, 3, 4)}


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_starts_as_the_identity_unless_told_not_to(block):
    x = np.abs(noise(2, 4, 4, 8))
    features = 8 if block is BasicBlock else 2
    for zero_init in (True, False):
        module = block(features, zero_init=zero_init)
        y, _ = jax.jit(
            lambda key, module=module: module.init_with_output(key, x, train=False)
        )(jax.random.key(1))
        assert np.allclose(y, x) == zero_init


def test_option_a_takes_every_second_pixel_and_pads_both_sides():
    x = np.abs(noise(1, 6, 7, 2))
    module = BasicBlock(4, stride=2, shortcut="pad")  # the rest starts as zero
    y, variables = jax.jit(
        lambda: module.init_with_output(jax.random.key(1), x, train=False)
    )()
    np.testing.assert_allclose(y[..., 1:3], x[:, ::2, ::2], rtol=1e-6)
    assert not np.any(y[..., [0, 3]])
    assert set(variables["params"]) == {"conv1", "conv2"}


def test_cifar_stages_and_blocks():
    outputs = outputs_of(resnet20_cifar(), (32, 32, 3))
    assert outputs["stem"] == (1, 32, 32, 16)
    assert outputs["stage1_block3"] == (1, 32, 32, 16)
    assert outputs["stage2_block1"] == (1, 16, 16, 32)
    assert outputs["stage3_block3"] == (1, 8, 8, 64)
    assert outputs["head"] == (1, 10)


def test_axis_name_reaches_every_norm():
    model = ResNet((1,), BasicBlock, width=4, num_classes=2, axis_name="devices")
    alone = model.clone(axis_name=None)
    images = noise(4, 2, 8, 8, 1)
    variables = jax.jit(alone.init)(jax.random.key(1), images[0])

    def apply(model, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    shared = jax.jit(jax.vmap(lambda x: apply(model, x), axis_name="devices"))(images)
    whole = jax.jit(lambda x: apply(alone, x))(images.reshape(8, 8, 8, 1))
    np.testing.assert_allclose(shared.reshape(8, 2), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet20_cifar(shortcut="C"), "shortcut='C' is unknown.*'A', 'B'"),
        (lambda: resnet20_cifar(width=0), "width must be .* at least 1, got 0"),
        (lambda: resnet18(width=1.5), "width must be a whole number .* got 1.5"),
        (lambda: ResNet((2, 0), BasicBlock), "stage_sizes must be .* got 0"),
        (lambda: ResNet(2, BasicBlock), "stage_sizes must be a sequence"),
        (lambda: BasicBlock(4, shortcut="A"), "shortcut='A' .*'projection', 'pad'"),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
