"""Class activation maps by hand, without division by zero, and their layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxcnn
from jaxcnn import interpret
from jaxcnn.interpret.gradcam import unit_range
from jaxcnn.interpret.injection import Layer


def layer(activations, gradients):
    as_maps = [np.asarray(x, np.float32)[None, None] for x in (activations, gradients)]
    return Layer(*map(jnp.asarray, as_maps))


def test_the_formulas_by_hand():
    """One row of two positions, two channels."""
    found = layer([[1, 2], [3, 0]], [[1, -1], [3, 2]])
    cams = {name: cam(found).ravel().tolist() for name, cam in interpret.CAMS.items()}
    # Mean gradients: 2 and 0.5.
    assert cams["grad_cam"] == [2 * 1 + 0.5 * 2, 2 * 3]
    assert cams["layer_cam"] == [1, 9]
    assert cams["hires_cam"] == [1 - 2, 9]
    # Sums of activations: 4 and 2. Channel 1: 1/(2+4) + 3/(2+12); channel 2: 2/(2+4).
    first, second = 1 / 6 + 3 / 14, 2 / 6
    np.testing.assert_allclose(
        cams["grad_cam_plus_plus"], [first + 2 * second, 3 * first], rtol=1e-6
    )
    # Less their mean the positions are (-1, 1) and (1, -1); the sign is free here.
    np.testing.assert_allclose(np.abs(cams["eigen_cam"]), np.sqrt(2), rtol=1e-6)


def test_the_principal_axis_is_one_of_its_decomposition():
    """With more positions than channels and the other way round."""
    for shape in ((2, 3, 4, 5), (2, 2, 2, 7)):
        a = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        found = interpret.CAMS["eigen_cam"](Layer(jnp.asarray(a), jnp.zeros(shape)))
        for values, image in zip(a, np.asarray(found), strict=True):
            flat = values.reshape(-1, shape[-1])
            flat = flat - flat.mean(axis=0)
            expected = flat @ np.linalg.svd(flat, full_matrices=False)[2][0]
            larger = expected if expected.max() > -expected.min() else -expected
            np.testing.assert_allclose(image.ravel(), larger, atol=1e-5)


CONSTANT = jnp.full((1, 3, 3, 2), 2.0)
MAPS = {
    "no gradient": (jax.random.normal(jax.random.key(0), (1, 3, 3, 2)), 0.0 * CONSTANT),
    "dead layer": (0.0 * CONSTANT, CONSTANT),
    "all alike": (CONSTANT, CONSTANT),
    "all negative": (CONSTANT, -CONSTANT),
    # 2 + sum(A) g = 2 - 2 * 9 / 9 = 0.
    "zero below": (-CONSTANT / 2, jnp.full((1, 3, 3, 2), 2 / 9)),
    "tiny": (CONSTANT, CONSTANT * 1e-30),
}


@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("method", interpret.CAMS)
def test_nothing_is_divided_by_zero(method, case):
    found = interpret.CAMS[method](Layer(*MAPS[case]))
    scaled = unit_range(jax.nn.relu(found))
    assert np.isfinite(found).all()
    assert np.isfinite(scaled).all()
    assert 0 <= scaled.min() <= scaled.max() <= 1


def test_small_gradients_give_the_same_map():
    """What others add to denominators would hide it."""
    a, g = (jax.random.normal(jax.random.key(k), (1, 4, 4, 3)) for k in (0, 1))
    for method in ("grad_cam", "layer_cam", "hires_cam"):
        loud, soft = (
            unit_range(jax.nn.relu(interpret.CAMS[method](Layer(a, g * scale))))
            for scale in (1.0, 1e-12)
        )
        np.testing.assert_allclose(loud, soft, atol=1e-5)
        np.testing.assert_allclose(soft.max(), 1, rtol=1e-6)


class Twice(nn.Module):
    """One convolution that is called twice, the second time behind itself."""

    remat: bool = False

    @nn.compact
    def __call__(self, images):
        kind = nn.remat(nn.Conv) if self.remat else nn.Conv
        conv = kind(3, (3, 3), name="conv")
        x = conv(images) if self.remat else conv(nn.relu(conv(images)))
        x = nn.relu(x)
        return x.reshape(len(x), -1) @ jnp.ones((x[0].size, 2)) * jnp.array([[1.0, -1]])


def asked(model, *shape):
    images = jax.random.normal(jax.random.key(0), shape)
    return model, model.init(jax.random.key(1), images), images


@pytest.mark.thorough
def test_of_several_calls_it_is_the_last():
    found = asked(Twice(), 1, 4, 4, 3)
    cam = interpret.layer_cam(*found, 0, layers="conv", normalize=False)
    # The gradient of the sum is 1 where the last output is positive.
    last = jaxcnn.capture(*found, ["conv"])["conv"]
    np.testing.assert_allclose(cam, nn.relu(last).sum(-1), atol=1e-5)


@pytest.mark.thorough
def test_a_rematerialised_layer_is_one_of_its_own():
    found = asked(Twice(remat=True), 1, 4, 4, 3)
    cam = interpret.layer_cam(*found, 0, layers="conv", normalize=False)
    plain = interpret.layer_cam(
        Twice(remat=True), *found[1:], 0, layers=["conv"], normalize=False
    )
    last = jaxcnn.capture(*found, ["conv"])["conv"]
    np.testing.assert_allclose(cam, nn.relu(last).sum(-1), atol=1e-5)
    np.testing.assert_array_equal(cam, plain)


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, images):
        class Body(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return nn.relu(nn.Conv(x.shape[-1], (3, 3), name="conv")(x)), None

        lifted = nn.scan(
            Body,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True},
            length=2,
        )
        x, _ = lifted(name="body")(images, None)
        return x.mean(axis=(1, 2))


@pytest.mark.thorough
def test_layers_that_cannot_be():
    scanned = asked(Scanned(), 1, 4, 4, 3)
    with pytest.raises(ValueError, match=r"'body/conv' lies in a module that nn\.scan"):
        interpret.grad_cam(*scanned, 0, layers="body/conv")
    found = asked(Twice(), 1, 4, 4, 3)
    with pytest.raises(
        ValueError, match=r"calls no submodule 'conf'\. Did you mean 'conv'"
    ):
        interpret.grad_cam(*found, 0, layers="conf")
    with pytest.raises(ValueError, match="layers must name at least one"):
        interpret.grad_cam(*found, 0, layers=[])
    with pytest.raises(ValueError, match=r"method='cam' is unknown"):
        interpret.class_activation_map(*found, 0, method="cam")
    with pytest.raises(
        ValueError, match=r"Mlp has no submodule that returns more than"
    ):
        interpret.grad_cam(*asked(jaxcnn.create_model("mlp"), 1, 4, 4, 1))
    mlp = asked(jaxcnn.create_model("mlp"), 1, 4, 4, 1)
    with pytest.raises(ValueError, match=r"'hidden1', \[1, \d+\], is no map of images"):
        interpret.grad_cam(*mlp, layers="hidden1")


class Two(nn.Module):
    """Two convolutions whose maps are as large as the image."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3), name="one")(images))
        x = nn.relu(nn.Conv(3, (3, 3), name="two")(x))
        return (x * jnp.arange(36.0).reshape(1, 6, 6, 1)).mean(axis=(1, 2))


@pytest.mark.thorough
def test_several_layers_and_views_are_averaged():
    found = asked(Two(), 2, 6, 6, 2)
    each = [interpret.grad_cam(*found, 1, layers=name) for name in ("one", "two")]
    assert np.abs(each[0] - each[1]).max() > 0.1
    both = interpret.grad_cam(*found, 1, layers=["one", "two"])
    np.testing.assert_allclose(both, unit_range((each[0] + each[1]) / 2), atol=1e-6)
    model, variables, images = found
    views = [
        turn(interpret.grad_cam(model, variables, turn(images) * factor, 1))
        for factor in (0.9, 1.0, 1.1)
        for turn in (lambda x: x, lambda x: x[:, :, ::-1])
    ]
    smooth = interpret.grad_cam(*found, 1, aug_smooth=True)
    np.testing.assert_allclose(smooth, sum(views) / 6, atol=1e-5)


#: The layer of each family, at the size of image that is usual: the last of
#: feature_info, or the norm behind it.
LAYERS = {
    "alexnet": "conv5",
    "vgg16_bn": "conv5_3",
    "squeezenet1_0": "fire9",
    "googlenet": "inception5b",
    "inception_v3": "mixed_7c",
    "inception_resnet_v2": "conv_7b",
    "xception": "conv4",
    "resnet50": "stage4_block3",
    "resnet50v2": "norm",
    "resnet20_cifar": "stage3_block3",
    "preact_resnet20_cifar": "norm",
    "densenet121": "norm",
    "mobilenet_v1": "stage5_block2",
    "mobilenet_v2": "last",
    "mobilenet_v3_small": "last",
    "efficientnet_b0": "last",
    "shufflenet_v1": "stage3_block4",
    "shufflenet_v2_x1_0": "last",
    "lenet": "conv2",
    "cnn": "stage2_conv1",
    "capsnet": "primary/conv",
}


def layer_of(name, shape=None):
    model = jaxcnn.create_model(name)
    shape = shape or jaxcnn.models.counts.usual_image_shape(name)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    return interpret.default_layer(model, variables, images)


@pytest.mark.parametrize("name", ["lenet", "preact_resnet20_cifar"])
def test_the_layer_of_some_families(name):
    assert layer_of(name) == LAYERS[name]


@pytest.mark.thorough
@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_of_every_family(name):
    assert layer_of(name) == LAYERS[name]


@pytest.mark.thorough
def test_a_single_position_shows_no_place():
    assert layer_of("resnet18", (32, 32, 3)) == "stage3_block2"


@pytest.mark.thorough
def test_the_layer_of_a_new_head():
    from jaxcnn.models.cut import with_head

    model = with_head(jaxcnn.create_model("resnet20_cifar"), 3, cut_at="stage2_block3")
    images = jnp.zeros((1, 16, 16, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    # The call ends inside of that block: the last that returned within it.
    path = interpret.default_layer(model, variables, images)
    assert path.startswith("stage2_block3/")
    model = with_head(jaxcnn.create_model("resnet20_cifar"), 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert interpret.default_layer(model, variables, images) == "stage3_block3"
    maps = jax.eval_shape(
        lambda v, x: interpret.grad_cam(model, v, x), variables, images
    )
    assert maps.shape == (1, 16, 16)


#: ReLU, ReLU beside hard swish, SiLU, capsules.
SOME = ("squeezenet1_1", "mobilenet_v3_small", "efficientnet_b0", "lenet5", "capsnet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.thorough if name in SOME else pytest.mark.slow,
        )
        for name in jaxcnn.list_models(kind="classifier")
    ],
)
def test_every_classifier_can_be_asked(name):
    """Traced only: guided backpropagation and Grad-CAM of each model."""
    model = jaxcnn.create_model(name)
    shape = (2, *jaxcnn.models.counts.usual_image_shape(name))
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def traced(function):
        return jax.eval_shape(
            lambda v, x: function(model, v, x, 1), variables, images
        ).shape

    assert traced(interpret.guided_backpropagation) == shape
    if name == "mlp":
        with pytest.raises(ValueError, match="no layer for a class activation map"):
            traced(interpret.grad_cam)
    else:
        assert traced(interpret.grad_cam) == shape[:-1]
