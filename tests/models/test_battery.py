"""One small variant of each family through everything that a model must do.

`GOLDEN_WRITE=1 python -m pytest tests/models/test_battery.py` writes the golden files
of the parameter trees again.
"""

import functools
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.models import (
    VGG,
    AlexNet,
    BasicBlock,
    Bottleneck,
    CapsNet,
    CifarResNet,
    CifarResNetV2,
    Cnn,
    DenseNet,
    EfficientNet,
    GoogLeNet,
    InceptionResNetV2,
    InceptionSmall,
    InceptionV3,
    InceptionV4,
    LeNet,
    LeNet5,
    Mlp,
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    PreActBottleneck,
    ResNet,
    ResNetV2,
    ShuffleNetV1,
    ShuffleNetV2,
    SqueezeNet,
    Xception,
)
from jaxcnn.train import capsules, classification
from jaxcnn.tree import flatten_named

TREES = pathlib.Path(__file__).parents[1] / "golden" / "trees"
CLASSES = 4

VARIANTS = {
    "cnn": (Cnn, {"features": (4, 8), "norm": "batch", "hidden": (16,)}, (8, 8, 1)),
    "cnn_group": (
        Cnn,
        {"features": (8,), "norm": "group", "pool": "stride"},
        (8, 8, 1),
    ),
    "inception_small": (
        InceptionSmall,
        {"branch1x1": 2, "branch5x5": (2, 3), "branch3x3": (2, 3, 3), "branch_pool": 3},
        (16, 16, 1),
    ),
    "lenet": (LeNet, {}, (16, 16, 1)),
    "lenet5": (LeNet5, {}, (12, 12, 1)),
    "mlp": (Mlp, {"hidden": (32, 16)}, (8, 8, 1)),
    "resnet_basic": (
        ResNet,
        {"stage_sizes": (1, 1), "block": BasicBlock, "width": 8},
        (16, 16, 3),
    ),
    "resnet_bottleneck": (
        ResNet,
        {"stage_sizes": (1, 1), "block": Bottleneck, "width": 4},
        (16, 16, 3),
    ),
    "resnet_cifar": (CifarResNet, {"blocks_per_stage": 1, "width": 4}, (8, 8, 3)),
    "resnet_cifar_b": (
        CifarResNet,
        {"blocks_per_stage": 1, "width": 4, "shortcut": "B"},
        (8, 8, 3),
    ),
    "alexnet": (
        AlexNet,
        {"features": (4, 4, 4, 4, 4), "hidden": 16, "dropout": 0},
        (63, 63, 3),
    ),
    "googlenet": (
        GoogLeNet,
        {"stages": (((64, 48, 64, 16, 32, 32),) * 2,), "width": 1 / 8, "dropout": 0},
        (16, 16, 3),
    ),
    "inception_resnet_v2": (
        InceptionResNetV2,
        {"blocks": (1, 1, 1), "width": 1 / 16, "dropout": 0},
        (75, 75, 3),
    ),
    "inception_v3": (
        InceptionV3,
        {
            "pool_features": (32,),
            "channels_7x7": (),
            "last_modules": 1,
            "width": 1 / 16,
            "dropout": 0,
        },
        (75, 75, 3),
    ),
    "inception_v4": (
        InceptionV4,
        {"blocks": (1, 1, 1), "width": 1 / 16, "dropout": 0},
        (75, 75, 3),
    ),
    "squeezenet": (
        SqueezeNet,
        {
            "features": 8,
            "kernel_size": 3,
            "squeeze": (4, 4),
            "expand": (8, 8),
            "pools": (1, 2),
            "dropout": 0,
        },
        (24, 24, 3),
    ),
    "vgg": (
        VGG,
        {"stage_sizes": (1, 1), "norm": True, "width": 4, "hidden": 16, "dropout": 0},
        (8, 8, 3),
    ),
    "vgg_plain": (
        VGG,
        {"stage_sizes": (1, 1), "width": 4, "hidden": 16, "dropout": 0},
        (8, 8, 3),
    ),
    "xception": (
        Xception,
        {"middle_blocks": 0, "width": 1 / 32, "dropout": 0},
        (16, 16, 3),
    ),
    "cnn1d": (Cnn, {"rank": 1, "features": (4, 8), "norm": "batch"}, (16, 3)),
    "cnn3d": (Cnn, {"rank": 3, "features": (4,), "norm": "batch"}, (4, 5, 4, 2)),
    "resnext": (
        ResNet,
        {
            "stage_sizes": (1,),
            "block": Bottleneck,
            "width": 8,
            "groups": 2,
            "width_per_group": 32,
        },
        (16, 16, 3),
    ),
    "resnet_v2": (
        ResNetV2,
        {"stage_sizes": (1, 1), "block": PreActBottleneck, "width": 4},
        (16, 16, 3),
    ),
    "resnet_v2_cifar": (
        CifarResNetV2,
        {"blocks_per_stage": 1, "stem_width": 4, "width": 4},
        (8, 8, 3),
    ),
    "densenet": (
        DenseNet,
        {"block_sizes": (2, 1), "growth_rate": 4, "stem_features": 8},
        (16, 16, 3),
    ),
    "densenet_cifar": (
        DenseNet,
        {
            "block_sizes": (1, 1),
            "growth_rate": 4,
            "stem_features": 6,
            "stem": "cifar",
            "bottleneck": 0,
        },
        (8, 8, 3),
    ),
    "efficientnet": (
        EfficientNet,
        {
            "stages": ((1, 3, 8, 1, 1), (2, 5, 8, 1, 1)),
            "stem_features": 8,
            "last_features": 16,
            "dropout": 0.0,
            "drop_path": 0.0,
        },
        (8, 8, 3),
    ),
    "mobilenet_v1": (
        MobileNetV1,
        {"stages": ((8, 1, 1), (16, 1, 2)), "stem_features": 8},
        (8, 8, 3),
    ),
    "mobilenet_v2": (
        MobileNetV2,
        {
            "stages": ((1, 8, 1, 1), (2, 8, 1, 1)),
            "stem_features": 8,
            "last_features": 16,
            "dropout": 0.0,
        },
        (8, 8, 3),
    ),
    "mobilenet_v3": (
        MobileNetV3,
        {
            "stages": (
                ((3, 8, 8, True, "relu", 1),),
                ((5, 16, 8, True, "hard_swish", 1),),
            ),
            "hidden": 16,
            "stem_features": 8,
            "dropout": 0.0,
        },
        (8, 8, 3),
    ),
    "shufflenet_v1": (
        ShuffleNetV1,
        {"groups": 2, "width": 0.16, "stage_sizes": (2,)},
        (16, 16, 3),
    ),
    "shufflenet_v2": (
        ShuffleNetV2,
        {
            "features": (8,),
            "stage_sizes": (2,),
            "stem_features": 8,
            "last_features": 16,
        },
        (16, 16, 3),
    ),
    "capsnet": (
        CapsNet,
        {
            "features": 8,
            "kernel_size": 3,
            "primary_capsules": 2,
            "primary_dims": 4,
            "capsule_dims": 4,
            "decoder_hidden": (16,),
        },
        (8, 8, 1),
    ),
}

#: What a family learns, if not to classify by a softmax over its logits.
TASKS = {"capsnet": capsules()}

#: Compiling takes all the time here, and a third of it without LLVM's optimisations.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)

every_variant = pytest.mark.parametrize("name", VARIANTS)
#: Differ from another variant in their parameters alone, or cost too much to compile.
NAMES_ALONE = {
    "cnn1d",
    "cnn_group",
    "resnet_cifar_b",
    "resnext",
    "resnet_v2_cifar",
    "densenet_cifar",
    "vgg_plain",
    "inception_v4",
    "inception_resnet_v2",
}
#: Shown by default; the other families go through the battery with the thorough tests.
SHOWN = {"cnn", "lenet"}
#: Are compiled for ten seconds and more in every test: by hand.
SLOW = {"inception_v3", "xception"}


def _mark_of(name):
    return pytest.mark.slow if name in SLOW else pytest.mark.thorough


#: For what has to be compiled: one variant of each family.
every_family = pytest.mark.parametrize(
    "name",
    [
        name if name in SHOWN else pytest.param(name, marks=_mark_of(name))
        for name in VARIANTS
        if name not in NAMES_ALONE
    ],
)


def build(name, **kwargs):
    model, options, _ = VARIANTS[name]
    return model(num_classes=CLASSES, **options, **kwargs)


@functools.cache
def batch(name):
    random = np.random.default_rng(0)
    images = random.normal(size=(8, *VARIANTS[name][2])).astype(np.float32)
    return images, np.arange(8) % CLASSES


@functools.cache
def initial(name):
    images, _ = batch(name)
    return quick_jit(build(name).init)(jax.random.key(0), images)


@functools.cache
def evaluation(name):
    """Returns the compiled `apply` that may change the batch statistics."""
    return quick_jit(functools.partial(build(name).apply, mutable=["batch_stats"]))


def step_of(model, tx, task):
    """Returns a compiled training step over (params, model state, optimizer state)."""

    @quick_jit
    def step(params, state, opt_state, key, batch):
        def objective(params):
            outputs, new = model.apply(
                {"params": params, **state},
                *task.inputs(batch),
                train=True,
                mutable=list(state),
                rngs={"dropout": key},
            )
            return task.loss(outputs, batch).mean(), new

        gradient = jax.value_and_grad(objective, has_aux=True)
        (loss, state), grads = gradient(params)
        updates, opt_state = tx.update(grads, opt_state)
        return optax.apply_updates(params, updates), state, opt_state, loss, grads

    return step


@every_family
def test_learns_one_batch_and_every_parameter_has_a_gradient(name):
    images, labels = batch(name)
    state = dict(initial(name))
    params = state.pop("params")
    tx = optax.adam(0.01)
    opt_state = tx.init(params)
    step = step_of(build(name), tx, TASKS.get(name, classification()))
    losses = []
    for k in range(60):
        key = jax.random.fold_in(jax.random.key(0), k)
        params, state, opt_state, loss, grads = step(
            params, state, opt_state, key, {"image": images, "label": labels}
        )
        losses.append(float(loss))
        if k == 1:  # zero scales let no gradient through before the first step
            for leaf, gradient in flatten_named(grads).items():
                assert np.isfinite(gradient).all(), leaf
                assert np.any(gradient), f"{leaf} has no gradient"
        if k > 1 and losses[-1] < 0.1:
            break
    assert losses[0] > 0.7  # a capsule that is not yet there costs 0.81
    assert losses[-1] < 0.1


@every_family
def test_evaluation_changes_no_state_and_is_deterministic(name):
    images, _ = batch(name)
    variables = initial(name)
    logits, state = evaluation(name)(variables, images)
    again, _ = evaluation(name)(variables, images)
    np.testing.assert_array_equal(logits, again)
    before = flatten_named(variables.get("batch_stats", {}))
    after = flatten_named(state.get("batch_stats", {}))
    assert before.keys() == after.keys()
    for leaf, value in before.items():
        np.testing.assert_array_equal(value, after[leaf], err_msg=leaf)


@every_family
def test_in_evaluation_no_example_sees_another(name):
    images, _ = batch(name)
    logits, _ = evaluation(name)(initial(name), images)
    others = np.concatenate([images[:1], images[:0:-1]])
    changed, _ = evaluation(name)(initial(name), others)
    np.testing.assert_allclose(changed[0], logits[0], atol=1e-5)
    np.testing.assert_allclose(changed[1:], logits[:0:-1], atol=1e-5)
    assert not np.allclose(changed, logits, atol=1e-5)


@every_family
def test_jit_equals_no_jit(name):
    images, _ = batch(name)
    logits = build(name).apply(initial(name), images)
    compiled, _ = evaluation(name)(initial(name), images)
    np.testing.assert_allclose(logits, compiled, atol=1e-5)


@pytest.mark.thorough
@every_variant
def test_bfloat16_computes_in_it_and_keeps_the_rest_float32(name):
    images, _ = batch(name)
    model = build(name, dtype=jnp.bfloat16)
    (logits, variables) = jax.eval_shape(
        functools.partial(
            model.init_with_output, train=True, capture_intermediates=True
        ),
        {"params": jax.random.key(0), "dropout": jax.random.key(1)},
        images,
    )
    outputs = flatten_named(variables.pop("intermediates"))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    inner = {
        layer: output.dtype
        for layer, output in outputs.items()
        if not layer.startswith(("head/", "__call__/"))  # the two that are float32
    }
    assert set(inner.values()) == {jnp.dtype("bfloat16")}, inner


@pytest.mark.thorough
@every_family
def test_bfloat16_logits_are_near(name):
    images, _ = batch(name)
    logits, _ = evaluation(name)(initial(name), images)
    near = quick_jit(build(name, dtype=jnp.bfloat16).apply)(initial(name), images)
    np.testing.assert_allclose(near, logits, atol=0.03 * float(jnp.abs(logits).max()))
    assert not np.array_equal(near, logits)


@every_variant
def test_names_and_shapes_are_those_of_the_golden_file(name):
    images, _ = batch(name)
    variables = jax.eval_shape(build(name).init, jax.random.key(0), images)
    tree = {
        leaf: f"{value.dtype}{list(value.shape)}"
        for leaf, value in flatten_named(variables).items()
    }
    path = TREES / f"{name}.json"
    if os.environ.get("GOLDEN_WRITE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(tree, indent=1) + "\n")
    assert tree == json.loads(path.read_text()), (
        f"The variables of {name} are public names and differ from {path}. If that is "
        "meant, write the file again: "
        "GOLDEN_WRITE=1 python -m pytest tests/models/test_battery.py"
    )


def test_there_is_a_golden_file_for_every_variant_and_no_other():
    assert {path.stem for path in TREES.glob("*.json")} == set(VARIANTS)
