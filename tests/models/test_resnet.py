"""Residual networks: strides, shortcuts, identity at the start, messages."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.layers import Conv
from jaxcnn.models import (
    BasicBlock,
    Bottleneck,
    CifarResNet,
    PreActBasicBlock,
    ResNet,
    ResNetV2,
    preact_resnet20_cifar,
    resnet18,
    resnet18v2,
    resnet20_cifar,
    resnet50,
)
from jaxcnn.tree import flatten_named

pytestmark = pytest.mark.thorough


#: Compiling takes all the time here, and less without LLVM's optimisations.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


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
        y, _ = quick_jit(
            lambda key, module=module: module.init_with_output(key, x, train=False)
        )(jax.random.key(1))
        assert np.allclose(y, x) == zero_init


def test_option_a_takes_every_second_pixel_and_pads_both_sides():
    x = np.abs(noise(1, 6, 7, 2))
    # The branch starts as zero.
    module = BasicBlock(4, stride=2, shortcut="identity")
    y, variables = quick_jit(
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


@pytest.mark.parametrize(
    ("output_stride", "sizes"), [(32, (8, 4, 2)), (16, (8, 4, 4)), (8, (8, 8, 8))]
)
def test_output_stride(output_stride, sizes):
    model = resnet50(output_stride=output_stride)
    outputs = outputs_of(model, (64, 64, 3))
    ends = [f"stage{stage}_block{n}" for stage, n in ((2, 4), (3, 6), (4, 3))]
    assert tuple(outputs[end][1] for end in ends) == sizes


def dilations_of(model):
    """Returns the dilation of every 3x3 convolution, in order."""
    found = []

    def keep(function, args, kwargs, context):
        conv, called = context.module, context.method_name == "__call__"
        if called and isinstance(conv, Conv) and conv.kernel_size == 3:
            found.append(conv.dilation)
        return function(*args, **kwargs)

    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    with nn.intercept_methods(keep):
        jax.eval_shape(model.init, jax.random.key(0), images)
    return found


def test_the_first_convolution_of_a_stage_is_dilated_as_the_stage_before():
    model = ResNet((1, 2, 2, 2), Bottleneck, width=4, output_stride=8)
    assert dilations_of(model) == [1, 1, 1, 1, 2, 2, 4]
    model = ResNet((1, 1, 1, 2), BasicBlock, width=4, output_stride=8)
    assert dilations_of(model) == [1, 1, 1, 1, 1, 2, 2, 4, 4, 4]
    model = CifarResNet(1, width=4, output_stride=1)
    assert dilations_of(model) == [1, 1, 1, 1, 2, 2, 4]


class Recorder(nn.Module):
    """Stands for a block and keeps the options that it was given."""

    features: int
    options: Any

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(self.features)(x)


def test_drop_path_grows_linearly_to_its_rate():
    rates = []

    def block(features, *, drop_path, name, **options):
        rates.append(drop_path)
        return Recorder(features, options, name=name)

    model = ResNet((1, 2, 1), block, width=4, drop_path=0.2)
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    np.testing.assert_allclose(rates, [0.05, 0.1, 0.15, 0.2])


def test_dropped_branches_leave_the_shortcut():
    """Without its branch the block returns what the ReLU makes of its input."""
    x = np.abs(noise(64, 2, 2, 4))
    block = BasicBlock(4, drop_path=0.5, zero_init=False)
    variables = quick_jit(lambda: block.init(jax.random.key(0), x, train=False))()
    y, _ = quick_jit(
        lambda key: block.apply(
            variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
    )(jax.random.key(1))
    dropped = np.isclose(y, x).all((1, 2, 3))
    assert 16 < dropped.sum() < 48


@pytest.mark.parametrize("block", [BasicBlock, PreActBasicBlock])
@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"shortcut": "identity"}, 1),
        ({"shortcut": "identity", "shortcut_scale": 0.5}, 0.5),
        ({"shortcut": "none"}, 0),
    ],
)
def test_what_the_shortcut_adds(block, options, factor):
    """A block whose branch is zero returns the factor times its input."""
    x = np.abs(noise(2, 3, 3, 4))
    variables = quick_jit(
        lambda: block(4, **options).init(jax.random.key(0), x, train=False)
    )()
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    y = block(4, **options).apply({**variables, "params": params}, x, train=False)
    np.testing.assert_allclose(y, factor * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "shortcut", "kind", "scale"),
    [
        (resnet18, "projection", "projection", 1),
        (resnet18, 0.5, "projection", 0.5),
        (resnet18, 0, "none", 1),
        (resnet18v2, 0.5, "projection", 0.5),
        (resnet20_cifar, "A", "identity", 1),
        (resnet20_cifar, "B", "projection", 1),
        (resnet20_cifar, "pad", "identity", 1),
        (resnet20_cifar, 0.5, "identity", 0.5),
        (preact_resnet20_cifar, 0.5, "projection", 0.5),
    ],
)
def test_what_a_network_tells_its_blocks(make, shortcut, kind, scale):
    blocks = []

    def keep(function, args, kwargs, context):
        if isinstance(context.module, (BasicBlock, PreActBasicBlock)):
            blocks.append((context.module.shortcut, context.module.shortcut_scale))
        return function(*args, **kwargs)

    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    with nn.intercept_methods(keep):
        jax.eval_shape(make(shortcut=shortcut).init, jax.random.key(0), images)
    assert set(blocks) == {(kind, scale)}


@pytest.mark.parametrize("make", [resnet18, resnet18v2, preact_resnet20_cifar])
@pytest.mark.parametrize("shortcut", ["none", "identity"])
def test_shortcuts_without_parameters(make, shortcut):
    assert not any(
        "shortcut" in layer
        for layer in outputs_of(make(shortcut=shortcut), (32, 32, 3))
    )


@pytest.mark.parametrize(
    "model",
    [
        ResNet((1,), BasicBlock, width=4, shortcut="none", num_classes=3),
        ResNetV2((1,), PreActBasicBlock, 4, "none", zero_init=True, num_classes=3),
    ],
)
def test_gradients_flow_through_a_plain_network(model):
    """No last scale or kernel starts as zero in it."""
    x = noise(4, 8, 8, 3)

    @quick_jit
    def gradient():
        variables = model.init(jax.random.key(0), x)

        def loss(params):
            return jnp.sum(model.apply({**variables, "params": params}, x) ** 2)

        return jax.grad(loss)(variables["params"])

    assert np.any(gradient()["stem"].get("conv", gradient()["stem"])["kernel"])


@pytest.mark.parametrize("make", [resnet18v2, preact_resnet20_cifar])
def test_a_pre_activation_network_can_start_as_its_shortcuts(make):
    x = noise(2, 4, 4, 16)
    for zero_init in (True, False):
        block = make().block(16, zero_init=zero_init)
        y, _ = quick_jit(
            lambda key, block=block: block.init_with_output(key, x, train=False)
        )(jax.random.key(1))
        assert np.allclose(y, x) == zero_init


def test_dropout_stands_before_the_last_convolution():
    x = noise(2, 4, 4, 8)
    block = PreActBasicBlock(8, dropout=0.5)
    variables = quick_jit(lambda: block.init(jax.random.key(0), x, train=False))()

    def outputs(train):
        _, state = block.apply(
            variables,
            x,
            train=train,
            rngs={"dropout": jax.random.key(1)},
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=True,
        )
        return state["intermediates"]["dropout"]["__call__"][0]

    assert 0.6 < np.mean(np.asarray(outputs(True)) == 0) < 0.9  # half by the ReLU
    assert 0.3 < np.mean(np.asarray(outputs(False)) == 0) < 0.7


def test_axis_name_reaches_every_norm():
    model = ResNet((1,), BasicBlock, width=4, num_classes=2, axis_name="devices")
    alone = model.clone(axis_name=None)
    images = noise(4, 2, 8, 8, 1)
    variables = quick_jit(alone.init)(jax.random.key(1), images[0])

    def apply(model, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    shared = quick_jit(jax.vmap(lambda x: apply(model, x), axis_name="devices"))(images)
    whole = quick_jit(lambda x: apply(alone, x))(images.reshape(8, 8, 8, 1))
    np.testing.assert_allclose(shared.reshape(8, 2), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet20_cifar(shortcut="C"), "shortcut='C' is unknown.*'A', 'B'"),
        (lambda: resnet18(shortcut="identiti"), "Did you mean 'identity'"),
        (lambda: resnet18(shortcut=None), "shortcut=None is unknown.*'a number'"),
        (lambda: resnet18(shortcut=-0.5), "shortcut must be a number .*0, got -0.5"),
        (lambda: resnet18(output_stride=4), "output_stride=4 .* 8, 16, 32"),
        (lambda: resnet20_cifar(output_stride=8), "output_stride=8 .* 1, 2, 4"),
        (lambda: resnet18(drop_path=1), "drop_path must be .* less than 1, got 1"),
        (
            lambda: resnet18(drop_path=0.1, shortcut="none"),
            "drop_path=0.1 needs a shortcut",
        ),
        (lambda: resnet18(groups=32), "BasicBlock takes groups=1 .*got groups=32"),
        (lambda: resnet50(groups=0), "groups must be .* at least 1, got 0"),
        (lambda: resnet50(width_per_group=0), "width_per_group must be .* got 0"),
        (lambda: resnet20_cifar(width=0), "width must be .* at least 1, got 0"),
        (lambda: resnet18(width=1.5), "width must be a whole number .* got 1.5"),
        (lambda: ResNet((2, 0), BasicBlock), "stage_sizes must be .* got 0"),
        (lambda: ResNet(2, BasicBlock), "stage_sizes must be a sequence"),
        (
            lambda: BasicBlock(4, shortcut="A").init(
                jax.random.key(0), noise(1, 2, 2, 4), train=False
            ),
            "shortcut='A' .*'projection', 'identity', 'none'",
        ),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
