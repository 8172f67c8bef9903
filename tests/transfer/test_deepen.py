"""Deeper networks compute the same function, and their new layers learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.models import (
    BasicBlock,
    Bottleneck,
    CifarResNet,
    CifarResNetV2,
    Cnn,
    LeNet,
    PreActBottleneck,
    ResNet,
    ResNetV2,
)
from jaxcnn.transfer import deepen
from jaxcnn.tree import flatten_named

pytestmark = pytest.mark.thorough


quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def trained(model, *image, seed=0):
    """Returns images and random variables, norms and statistics too."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(4, *image)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        std = 0.3 if name != "kernel" else (2 / np.prod(leaf.shape[:-1])) ** 0.5
        return random.normal(0, std, leaf.shape).astype(np.float32)

    return images, jax.tree_util.tree_map_with_path(draw, shapes)


IMAGE = (12, 10, 3)
CASES = {
    "basic": (
        ResNet((1, 2), BasicBlock, width=4, num_classes=3),
        {"stages": [2]},
        {"stage_sizes": (1, 3)},
    ),
    "bottleneck": (
        ResNet((1, 1), Bottleneck, width=4, num_classes=3, zero_init=False),
        {"blocks": 2},
        {"stage_sizes": (3, 3)},
    ),
    "cifar": (
        CifarResNet(1, width=4, num_classes=3),
        {"blocks": 2, "key": jax.random.key(7)},
        {"blocks_per_stage": 3},
    ),
    "preact": (
        CifarResNetV2(1, stem_width=4, width=4, num_classes=3),
        {"blocks": 1},
        {"blocks_per_stage": 2},
    ),
    "preact_bottleneck": (
        ResNetV2((1, 1), PreActBottleneck, width=4, num_classes=3),
        {"stages": [2]},
        {"stage_sizes": (1, 2)},
    ),
    "cifar_bottleneck": (
        CifarResNet(1, width=4, block=Bottleneck, shortcut="B", num_classes=3),
        {},
        {"blocks_per_stage": 2},
    ),
    "cnn": (
        Cnn((4, 6), convs_per_stage=(1, 2), num_classes=3),
        {"blocks": 2, "stages": (1,)},
        {"convs_per_stage": (3, 2)},
    ),
    "cnn_batch": (
        Cnn((4, 6), norm="batch", pool="stride", kernel_size=(4, 5), num_classes=3),
        {},
        {"convs_per_stage": (2, 2)},
    ),
    "cnn_relu6": (
        Cnn((4,), norm="batch", activation="relu6", padding=1, num_classes=3),
        {"blocks": 2},
        {"convs_per_stage": (3,)},
    ),
    "cnn_linear": (
        Cnn((4,), activation=jax.nn.relu, padding="tensorflow", hidden=(5,)),
        {},
        {"convs_per_stage": (2,)},
    ),
}


@functools.cache
def deepened(name):
    model, options, _ = CASES[name]
    images, variables = trained(model, *IMAGE)
    deeper, more = deepen(model, variables, **options)
    return images, variables, deeper, more


@pytest.mark.parametrize("name", CASES)
def test_the_function_is_the_same(name):
    model, _, changes = CASES[name]
    images, variables, deeper, more = deepened(name)
    assert deeper == model.clone(**changes)
    expected = quick_jit(model.apply)(variables, images)
    got = quick_jit(deeper.apply)(more, images)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=3e-6)
    shapes = jax.eval_shape(deeper.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, dict(more)) == jax.tree.map(jnp.shape, dict(shapes))
    for leaf, value in flatten_named(variables).items():
        np.testing.assert_array_equal(flatten_named(more)[leaf], value, err_msg=leaf)


@pytest.mark.parametrize("name", ["cifar", "cnn_batch"])
def test_the_new_layers_learn(name):
    images, variables, deeper, more = deepened(name)
    known = flatten_named(variables["params"])
    state = {"batch_stats": more["batch_stats"]}
    labels = np.arange(4) % 3

    @quick_jit
    def step(params):
        def loss(params):
            logits, _ = deeper.apply(
                {"params": params, **state}, images, train=True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean()

        grads = jax.grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), grads

    params, grads = step(more["params"])
    new = [leaf for leaf in flatten_named(grads) if leaf not in known]
    assert any(np.any(flatten_named(grads)[leaf]) for leaf in new)
    # A scale of zero lets gradients through to its branch from the second step on.
    _, grads = step(params)
    for leaf in new:
        assert np.any(flatten_named(grads)[leaf]), leaf


def test_residual_networks_stay_the_same_in_training_too():
    model, _, _ = CASES["basic"]
    images, variables, deeper, more = deepened("basic")
    outputs = [
        quick_jit(functools.partial(m.apply, train=True, mutable=["batch_stats"]))(
            v, images
        )[0]
        for m, v in ((model, variables), (deeper, more))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=3e-6)


def test_a_new_batch_norm_knows_the_statistics_of_its_input():
    """Those of ReLU of normally distributed values, by drawing many of them."""
    model = Cnn((3,), norm="batch", num_classes=2)
    _, variables = trained(model, *IMAGE)
    _, more = deepen(model, variables)
    before = variables["params"]["stage1_norm1"]
    draws = np.random.default_rng(0).normal(size=(400_000, 3))
    values = np.maximum(draws * before["scale"] + before["bias"], 0)
    statistics = more["batch_stats"]["stage1_norm2"]
    np.testing.assert_allclose(statistics["mean"], values.mean(0), atol=0.01)
    np.testing.assert_allclose(statistics["var"], values.var(0), atol=0.02)


def test_sequences_and_volumes_deepen():
    for rank, image in ((1, (9, 2)), (3, (4, 5, 6, 2))):
        model = Cnn((3,), rank=rank, num_classes=2)
        images, variables = trained(model, *image)
        deeper, more = deepen(model, variables)
        np.testing.assert_allclose(
            quick_jit(deeper.apply)(more, images),
            quick_jit(model.apply)(variables, images),
            atol=1e-6,
        )


CNN = Cnn((4,), num_classes=3)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (LeNet(), {}, "deepen knows ResNet, .*, Cnn; a LeNet has no blocks"),
        (CNN, {"blocks": 0}, "blocks must be a whole number of at least 1, got 0"),
        (CNN, {"stages": [2]}, r"stages must be some of \[1\], got \[2\]"),
        (CNN, {"stages": []}, r"stages must be some of \[1\], got \[\]"),
        (CifarResNet(1), {"stages": [1]}, "CifarResNet has as many blocks in each st"),
        (ResNet((1,), LeNet), {}, "the blocks BasicBlock, .*, not 'LeNet'"),
        (CifarResNet(1, shortcut="none"), {}, "shortcut='none' cannot start as the id"),
        (CifarResNet(1, shortcut=0.5), {}, "shortcut=0.5 cannot start as the identity"),
        (CNN.clone(activation="tanh"), {}, "'relu' or 'relu6' or 'identity', got 'ta"),
        (CNN.clone(norm="layer"), {}, "norm='layer' normalises by what each example"),
        (
            CNN.clone(norm="batch", norm_position="after"),
            {},
            "norm_position='after': the activation .* takes 'before'",
        ),
        (CNN.clone(padding="valid"), {}, "padding='valid' with a kernel of 3 does not"),
        (
            CNN.clone(padding="tensorflow", pool="stride"),
            {},
            "padding='tensorflow' with a kernel of 3 does not keep the size",
        ),
        (CNN, {}, "another model's: no params/stage1_conv1/kernel"),
        (CifarResNet(1), {}, "another model's: no params/stem/conv/kernel"),
    ],
)
def test_what_cannot_deepen_is_explained(model, options, message):
    with pytest.raises(ValueError, match=message):
        deepen(model, {"params": {}, "batch_stats": {}}, **options)


def test_variables_of_another_model_are_refused():
    model = CifarResNet(1, width=4, num_classes=3)
    variables = deepened("cifar")[1]
    with pytest.raises(ValueError, match=r"another model's: no .*/stage1_block2/"):
        deepen(model.clone(blocks_per_stage=2), variables)
    message = r"another model's: .* has shape \(.*\), not \(.*\)"
    with pytest.raises(ValueError, match=message):
        deepen(model.clone(width=6), variables)
