"""Endpoints of families, and what `capture` gets out of modules of all sorts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn.models import ResNet
from jaxcnn.models.counts import usual_image_shape
from jaxcnn.models.features import capture, feature_info, has_endpoints
from jaxcnn.registry import create_model
from tests.models.zoo import FAMILIES, GOLDEN, shown_first

#: Smaller images than this are of networks whose layers one may as well name.
LARGE = 100


def test_families_of_large_images_have_endpoints():
    missing = [
        name
        for name in FAMILIES
        if GOLDEN[name]["image"][0] >= LARGE and not has_endpoints(create_model(name))
    ]
    assert not missing


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    shown_first(n for n in FAMILIES if has_endpoints(create_model(n))),
)
def test_endpoints_exist_and_their_reductions_go_up(name):
    features = feature_info(name, GOLDEN[name]["image"])
    reductions = [feature.reduction for feature in features]
    assert len(features) >= 2
    assert reductions == sorted(set(reductions))
    assert all(feature.channels > 0 for feature in features)


@pytest.mark.thorough
def test_features_of_resnet50():
    assert [(f.path, f.channels, f.reduction) for f in feature_info("resnet50")] == [
        ("stem", 64, 2),
        ("stage1_block3", 256, 4),
        ("stage2_block4", 512, 8),
        ("stage3_block6", 1024, 16),
        ("stage4_block3", 2048, 32),
    ]


def test_features_of_a_model_and_of_other_images():
    model = ResNet((1, 1), jaxcnn.models.BasicBlock, width=4)
    expected = [("stem", 2), ("stage1_block1", 4), ("stage2_block1", 8)]
    for shape in [(64, 64, 3), (64, 32, 1)]:
        features = feature_info(model, shape)
        assert [(f.path, f.reduction) for f in features] == expected


def test_the_public_names():
    assert jaxcnn.capture is capture
    assert jaxcnn.feature_info is feature_info


def test_usual_images():
    assert usual_image_shape("resnet20_cifar") == (32, 32, 3)
    autoencoder = create_model("conv_autoencoder", image_shape=(32, 32, 3))
    assert usual_image_shape(autoencoder) == (32, 32, 3)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(x.shape[-1], name="dense")(x))


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return Block(name="block")(x), None


class Everything(nn.Module):
    """A list of submodules, one called twice, a Sequential, and lifted modules."""

    carried: bool = True

    @nn.compact
    def __call__(self, x, *, train=False):
        x = Listed(name="listed")(x)
        x = nn.remat(Block)(name="again")(x)
        axes = {"params": 0, **({"intermediates": 0} if self.carried else {})}
        lifted = {"variable_axes": axes, "split_rngs": {"params": True}}
        x, _ = nn.scan(Step, length=3, **lifted)(name="loop")(x, None)
        x = nn.vmap(Block, in_axes=1, out_axes=1, **lifted)(name="each")(x[:, :, None])
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.Dropout(0.5, deterministic=not train, name="dropout")(x)
        return nn.Dense(2, name="head")(x)


class Listed(nn.Module):
    def setup(self):
        self.layers = [nn.Dense(4), nn.Dense(4)]
        self.sequence = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(4)])

    def __call__(self, x):
        first, second = self.layers
        return self.sequence(first(second(first(x))))


SHAPES = {
    "": (2, 4, 2),
    "listed": (2, 4),
    "listed/layers_0": (2, 4),
    "listed/sequence/layers_0": (2, 3),
    "listed/sequence/layers_2": (2, 4),
    "again": (2, 4),
    "again/dense": (2, 4),
    "loop/block": (3, 2, 4),
    "loop/block/dense": (3, 2, 4),
    "each": (2, 4, 1),
    "each/dense": (4, 2, 1),
    "norm": (2, 4, 1),
}


@pytest.fixture(scope="module")
def everything():
    model = Everything()
    images = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    return model, jax.jit(model.init)(jax.random.key(0), images), images


@pytest.mark.thorough
def test_submodules_of_all_sorts_compiled_and_not(everything):
    model, variables, images = everything
    plain = capture(model, variables, images, list(SHAPES))
    compiled = jax.jit(
        lambda variables, images: capture(model, variables, images, list(SHAPES))
    )(variables, images)
    assert plain.keys() == SHAPES.keys()
    for path, y in plain.items():
        if path in ("each", "loop/block"):  # axes are those that the transform gives
            assert y.size == np.prod(SHAPES[path])
        else:
            assert y.shape == SHAPES[path], path
        np.testing.assert_allclose(compiled[path], y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plain[""], model.apply(variables, images))


def test_values_are_those_of_the_layers(everything):
    model, variables, images = everything
    paths = ["listed/layers_0", "listed/sequence/layers_0"]
    got = capture(model, variables, images, paths)
    params = variables["params"]["listed"]["sequence"]["layers_0"]
    params = jax.tree.map(np.asarray, params)
    expected = np.asarray(got[paths[0]]) @ params["kernel"] + params["bias"]
    np.testing.assert_allclose(got[paths[1]], expected, rtol=1e-5)


def test_calls_of_a_shared_module(everything):
    model, variables, images = everything
    path = "listed/layers_0"
    both = capture(model, variables, images, [path, "again"], every_call=True)
    assert [len(both[path]), len(both["again"])] == [2, 1]
    last = capture(model, variables, images, [path])[path]
    np.testing.assert_array_equal(last, both[path][1])
    assert not np.allclose(last, both[path][0])


@pytest.mark.thorough
@pytest.mark.parametrize("path", ["listed/layers_1", "again/dense", "each"])
def test_gradients_of_images_and_parameters(everything, path):
    model, variables, images = everything

    def total(variables, images):
        return capture(model, variables, images, [path])[path].sum()

    by_variables, by_images = jax.jit(jax.grad(total, (0, 1)))(variables, images)
    assert by_images.shape == images.shape
    assert np.any(by_images)
    assert np.any(by_variables["params"]["listed"]["layers_1"]["kernel"])
    assert not np.any(by_variables["params"]["head"]["kernel"])  # behind the endpoint
    small = 1e-2 * np.ones_like(images)
    there = total(variables, images + small) - total(variables, images - small)
    assert there == pytest.approx(2 * float((by_images * small).sum()), rel=0.05)


def test_training_mode_and_collections_that_change(everything):
    model, variables, images = everything
    got = capture(
        model,
        variables,
        images,
        ["norm", "dropout"],
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(1)},
    )
    np.testing.assert_allclose(got["norm"].mean((0, 1)), 0, atol=1e-5)
    dropped = np.asarray(got["dropout"]) == 0
    assert dropped.any()
    assert not dropped.all()


def test_outputs_kept_from_before_do_not_count(everything):
    model, variables, images = everything
    _, state = model.apply(
        variables, images, capture_intermediates=True, mutable=["intermediates"]
    )
    stale = {**variables, **state}
    assert (
        len(capture(model, stale, images + 1, ["norm"], every_call=True)["norm"]) == 1
    )


def test_other_methods():
    class Coder(nn.Module):
        def setup(self):
            self.inner = Half()

        def __call__(self, x):
            return self.inner.decode(self.inner.encode(x))

        def halves(self, x):
            return self.inner.encode(x)

    class Half(nn.Module):
        def encode(self, x):
            return x / 2

        def decode(self, x):
            return x * 3

    got = capture(Coder(), {}, 4 * jnp.ones(1), ["inner:encode", "inner:decode", ""])
    assert {path: float(y[0]) for path, y in got.items()} == {
        "inner:encode": 2,
        "inner:decode": 6,
        "": 6,
    }
    got = capture(Coder(), {}, 4 * jnp.ones(1), ["inner:encode"], method="halves")
    assert float(got["inner:encode"][0]) == 2
    with pytest.raises(ValueError, match=r"Did you mean 'inner:encode'"):
        capture(Coder(), {}, jnp.ones(1), ["inner:encod"])


def test_what_lies_behind_the_endpoints_is_not_computed():
    # As wide as this XLA convolves: what few channels take is no convolution any more.
    model = ResNet((1, 1, 1), jaxcnn.models.BasicBlock, width=32, num_classes=3)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def compiled(path):
        function = jax.jit(lambda v, x: capture(model, v, x, [path]))
        return function.lower(variables, images).compile().as_text()

    convolutions = [
        compiled(path).count(" convolution(") for path in ("stem", "stage1_block1")
    ]
    # The stem; two more in a block without projection.
    assert convolutions == [1, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda model, *rest: capture(model, *rest, ["listed/layer_0"]),
            "Everything calls no submodule 'listed/layer_0'. Did you mean 'listed/la",
        ),
        (
            lambda model, *rest: capture(model, *rest, "norm"),
            "endpoints must be a sequence of paths, got the string 'norm'",
        ),
        (
            lambda _, *rest: capture(Everything(carried=False), *rest, ["loop/block"]),
            "'loop/block' lies in a module that nn.scan, .* without the collection",
        ),
        (lambda *_: feature_info("lenet"), "LeNet has no endpoints of its own"),
        (
            lambda *_: feature_info(create_model("resnet18")),
            r"ResNet does not say what images it is made for; say image_shape=\(height",
        ),
        (
            lambda *_: usual_image_shape("resnet51"),
            "images of 'resnet51' is not known.* Did you mean 'resnet50'",
        ),
    ],
)
def test_errors(call, message, everything):
    with pytest.raises(ValueError, match=message):
        call(*everything)
