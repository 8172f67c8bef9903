"""The capsule network: what it returns, its decoder, messages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import CapsNet, capsnet, feature_info, perturb_capsules
from jaxcnn.tree import count_params

pytestmark = pytest.mark.thorough


SMALL = {
    "features": 4,
    "kernel_size": 3,
    "primary_capsules": 2,
    "primary_dims": 4,
    "capsule_dims": 3,
    "decoder_hidden": (6,),
    "num_classes": 5,
}


@functools.cache
def trained():
    model, images = CapsNet(**SMALL), noise(3, 8, 9, 1)
    return model, jax.jit(model.init)(jax.random.key(0), images), images


def noise(*shape):
    return np.random.default_rng(0).random(size=shape, dtype=np.float32)


def count(**options):
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    variables = jax.eval_shape(capsnet(**options).init, jax.random.key(0), images)
    return {name: count_params(tree) for name, tree in variables["params"].items()}


def test_parameters_are_those_of_the_paper():
    parts = count()
    assert parts == {
        "stem": 81 * 256 + 256,
        "primary": 81 * 256 * 256 + 256,
        "head": 1152 * 8 * 10 * 16,
        "decoder": 160 * 512 + 512 + 512 * 1024 + 1024 + 1024 * 784 + 784,
    }
    assert sum(parts.values()) == 8_215_568
    assert sum(count(reconstruction=False).values()) == 6_804_224


def test_logits_are_the_lengths_of_the_capsules():
    model, variables, images = trained()
    logits = model.apply(variables, images)
    capsules = model.apply(variables, images, method="capsules")
    np.testing.assert_allclose(logits, np.linalg.norm(capsules, axis=-1), atol=1e-6)
    assert capsules.shape == (3, 5, 3)


def test_labels_ask_for_the_reconstruction():
    model, variables, images = trained()
    labels = jnp.array([4, 0, 2])
    outputs = model.apply(variables, images, labels)
    assert set(outputs) == {"logits", "reconstruction"}
    assert outputs["reconstruction"].shape == images.shape
    np.testing.assert_array_equal(outputs["logits"], model.apply(variables, images))
    trains = model.apply(variables, images, labels, train=True)
    np.testing.assert_array_equal(trains["reconstruction"], outputs["reconstruction"])


def test_only_the_capsule_of_the_label_is_drawn():
    model, variables, images = trained()
    labels = jnp.array([4, 0, 2])
    capsules = np.array(model.apply(variables, images, method="capsules"))
    x = np.zeros((3, 15), np.float32)
    for row, (label, capsule) in enumerate(zip(labels, capsules, strict=True)):
        x[row, 3 * label : 3 * label + 3] = capsule[label]
    layers = jax.tree.map(np.asarray, variables["params"]["decoder"])
    x = np.maximum(x @ layers["hidden1"]["kernel"] + layers["hidden1"]["bias"], 0)
    x = x @ layers["pixels"]["kernel"] + layers["pixels"]["bias"]
    drawn = model.apply(variables, images, labels)["reconstruction"]
    np.testing.assert_allclose(
        drawn, (1 / (1 + np.exp(-x))).reshape(images.shape), atol=1e-5
    )


def test_each_of_several_labels_is_drawn_alone():
    model, variables, images = trained()
    pairs = jnp.array([[4, 1], [0, 3], [2, 1]])
    both = model.apply(variables, images, pairs)["reconstruction"]
    assert both.shape == (3, 2, 8, 9, 1)
    for k in range(2):
        one = model.apply(variables, images, pairs[:, k])["reconstruction"]
        np.testing.assert_allclose(both[:, k], one, atol=1e-6)


def test_without_a_decoder_labels_change_nothing():
    model, images = CapsNet(**{**SMALL, "reconstruction": False}), noise(2, 8, 8, 1)
    logits, _ = jax.eval_shape(
        model.init_with_output, jax.random.key(0), images, jnp.array([0, 1])
    )
    assert logits.shape == (2, 5)


def test_a_model_made_with_labels_has_the_same_parameters():
    model, images = CapsNet(**SMALL), noise(2, 8, 8, 1)
    shapes = [
        jax.eval_shape(model.init, jax.random.key(0), images, *more)
        for more in ((), (jnp.array([0, 1]),))
    ]
    assert shapes[0] == shapes[1]


def test_perturbed_capsules():
    model, variables, images = trained()
    labels = np.array([4, 0, 2])
    drawn = perturb_capsules(model, variables, images, labels)
    assert drawn.shape == (3, 3, 11, 8, 9, 1)
    # The sixth value is 0: the image as it is drawn unchanged.
    plain = model.apply(variables, images, labels)["reconstruction"]
    for dim in range(3):
        np.testing.assert_allclose(drawn[:, dim, 5], plain, atol=1e-6)
    capsules = model.apply(variables, images, method="capsules")
    vector = capsules[1, 0] + jnp.array([0.0, -0.25, 0.0])
    expected = model.apply(
        variables, vector[None], jnp.array([0]), (8, 9, 1), method="decode"
    )
    np.testing.assert_allclose(drawn[1, 1, 0], expected[0], atol=1e-6)
    assert np.abs(drawn[:, :, 0] - drawn[:, :, -1]).max() > 1e-4


def test_perturbing_needs_a_decoder():
    model, images = CapsNet(**{**SMALL, "reconstruction": False}), noise(2, 8, 8, 1)
    with pytest.raises(ValueError, match="needs a decoder: a CapsNet with reconstruc"):
        perturb_capsules(model, {}, images, np.array([0, 1]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0, 2.0]), r"integers of shape \[3\] or .* float"),
        (np.array([0, 1]), r"of shape \[3\] or \[3, n\], got int\d+\[2\]"),
        (np.zeros((3, 2, 1), np.int32), r"got int32\[3, 2, 1\]"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    model, variables, images = trained()
    with pytest.raises(ValueError, match=message):
        model.apply(variables, images, labels)


def test_too_small_images():
    with pytest.raises(ValueError, match=r"CapsNet needs images of at least 17x17"):
        jax.eval_shape(capsnet().init, jax.random.key(0), jnp.zeros((1, 17, 16, 1)))
    images = jnp.zeros((1, 17, 17, 1))
    assert jax.eval_shape(capsnet().init, jax.random.key(0), images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "features must be a whole number of at least 1, got 0"),
        ({"routings": 0}, "routings must be a whole number of at least 1, got 0"),
        ({"capsule_dims": 0}, "capsule_dims must be a whole number of at least 1"),
        ({"decoder_hidden": 512}, "decoder_hidden must be a sequence of whole numbers"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        CapsNet(**options)


def test_endpoints():
    stem, primary = feature_info("capsnet", (28, 28, 1))
    assert (stem.channels, stem.reduction) == (256, 1)
    assert (primary.channels, primary.reduction) == (256, 5)
