"""The open CNN: what each choice does, and that LeNet is one setting of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import cnn, lenet, mlp
from jaxcnn.tree import flatten_named


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def shapes_of(model, image=(16, 16, 1), train=False):
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    logits, variables = jax.eval_shape(
        lambda rngs, x: model.init_with_output(rngs, x, train=train), rngs, images
    )
    return logits, {k: v.shape for k, v in flatten_named(variables).items()}


def test_lenet_is_a_setting_of_cnn():
    images = noise(2, 28, 28, 1)
    params = jax.jit(lenet().init)(jax.random.key(1), images)["params"]
    names = {"conv1": "stage1_conv1", "conv2": "stage2_conv1", "head": "head"}
    renamed = {names[name]: layer for name, layer in params.items()}
    model = cnn(features=(10, 20), kernel_size=5, padding="valid")

    @jax.jit
    def difference(params, renamed):
        return lenet().apply({"params": params}, images), model.apply(
            {"params": renamed}, images
        )

    ours, general = difference(params, renamed)
    np.testing.assert_allclose(ours, general, rtol=1e-6, atol=1e-6)


def test_stages_and_dense_layers_are_named_and_sized():
    model = cnn(
        features=[4, 8],
        convs_per_stage=(1, 2),
        kernel_size=(5, 3),
        norm="batch",
        hidden=(12,),
        num_classes=3,
    )
    logits, shapes = shapes_of(model)
    params = {
        name.removeprefix("params/"): shape
        for name, shape in shapes.items()
        if name.startswith("params/")
    }
    norms = ("stage1_norm1", 4), ("stage2_norm1", 8), ("stage2_norm2", 8)
    assert logits.shape == (2, 3)
    assert params == {
        "stage1_conv1/kernel": (5, 5, 1, 4),
        "stage2_conv1/kernel": (3, 3, 4, 8),
        "stage2_conv2/kernel": (3, 3, 8, 8),
        "hidden1/kernel": (4 * 4 * 8, 12),
        "hidden1/bias": (12,),
        "head/kernel": (12, 3),
        "head/bias": (3,),
    } | {f"{norm}/{leaf}": (n,) for norm, n in norms for leaf in ("scale", "bias")}


@pytest.mark.parametrize("pool", ["max", "average", "stride"])
def test_every_pool_halves_the_image(pool):
    _, shapes = shapes_of(cnn(features=(4, 8), convs_per_stage=2, pool=pool))
    assert shapes["params/head/kernel"] == (4 * 4 * 8, 10)


@pytest.mark.parametrize("norm", ["layer", "group", "instance"])
def test_norms_without_statistics_leave_no_state(norm):
    _, shapes = shapes_of(cnn(norm=norm))
    assert {name.split("/")[0] for name in shapes} == {"params"}
    assert "params/stage1_norm1/scale" in shapes
    assert "params/stage1_conv1/bias" not in shapes


def features_of(images, **kwargs):
    """Returns features of a net of one pointwise convolution and the variables."""
    model = cnn(features=(1,), kernel_size=1, num_classes=0, **kwargs)
    kernel = {"stage1_conv1": {"kernel": jnp.ones((1, 1, 1, 1))}}
    variables = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    if "bias" in variables["stage1_conv1"]:
        kernel["stage1_conv1"]["bias"] = jnp.zeros(1)
    else:
        kernel["stage1_norm1"] = {"scale": jnp.ones(1), "bias": jnp.zeros(1)}
    return np.ravel(jax.jit(model.apply)({"params": kernel}, images))


def test_the_pool_and_the_activation_are_those_asked_for():
    images = jnp.array([[1.0, -4.0], [0.0, 2.0]]).reshape(1, 2, 2, 1)
    relu = features_of(images, pool="average")
    np.testing.assert_allclose(relu, [3 / 4])
    linear = features_of(images, pool="average", activation="identity")
    np.testing.assert_allclose(linear, [-1 / 4])
    np.testing.assert_allclose(features_of(images, activation=jnp.negative), [4])
    np.testing.assert_allclose(features_of(images, pool="stride"), [1])


def test_the_norm_stands_before_or_after_the_activation():
    images = noise(1, 8, 8, 1)
    options = {"norm": "instance", "pool": "average"}
    after = features_of(images, norm_position="after", **options)
    before = features_of(images, norm_position="before", **options)
    np.testing.assert_allclose(after.mean(), 0, atol=1e-5)  # normalised last
    assert before.min() >= 0  # ReLU last
    assert before.mean() > 0.1


@pytest.mark.thorough
@pytest.mark.parametrize("make", [cnn, mlp])
def test_dropout_drops_in_training_alone(make):
    model = make(hidden=(16,), dropout=0.5, num_classes=0)
    images = jnp.ones((2, 4, 4, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    apply = jax.jit(model.apply, static_argnames="train")

    def zeros(train, seed=0):
        rngs = {"dropout": jax.random.key(seed)}
        return apply(variables, images, train=train, rngs=rngs)

    assert not np.array_equal(zeros(True, 0), zeros(True, 1))
    np.testing.assert_array_equal(zeros(True, 0), zeros(True, 0))
    np.testing.assert_array_equal(zeros(False, 0), zeros(False, 1))


@pytest.mark.parametrize(
    ("make", "kwargs", "message"),
    [
        (cnn, {"norm": "bach"}, r"norm='bach' is unknown. Did you mean 'batch'\?"),
        (
            cnn,
            {"norm_position": "behind"},
            "norm_position='behind'.* 'before', 'after'",
        ),
        (cnn, {"pool": "min"}, "pool='min'.*'max', 'average', 'stride'"),
        (cnn, {"activation": "rellu"}, "activation='rellu' is unknown"),
        (cnn, {"kernel_init": "he"}, "kernel_init='he' is unknown"),
        (
            cnn,
            {"padding": "full"},
            "padding must be 'same', 'valid', 'tensorflow'",
        ),
        (
            cnn,
            {"dropout": 1.0},
            "dropout must be a number of at least 0 and less than 1",
        ),
        (cnn, {"features": 32}, "features must be a sequence of whole numbers, got 32"),
        (cnn, {"features": (32, 0)}, "features must be .* at least 1, got 0"),
        (cnn, {"hidden": (1.5,)}, "hidden must be a whole number .* got 1.5"),
        (cnn, {"kernel_size": 0}, "kernel_size must be .* got 0"),
        (
            cnn,
            {"kernel_size": (3,)},
            r"kernel_size .* each of the 2 stages, got \(3,\)",
        ),
        (cnn, {"convs_per_stage": (1, 2, 3)}, "convs_per_stage must be one number or"),
        (mlp, {"dropout": -0.1}, "dropout must be .* got -0.1"),
        (mlp, {"hidden": 16}, "hidden must be a sequence"),
        (mlp, {"activation": "rellu"}, "activation='rellu'"),
        (mlp, {"kernel_init": "he"}, "kernel_init='he'"),
    ],
)
def test_wrong_choices_are_explained(make, kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)
