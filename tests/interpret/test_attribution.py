"""Attributions against answers worked out by hand, on modules of the user's own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxcnn
from jaxcnn import interpret


class Linear(nn.Module):
    """Logits that are weighted sums of the pixels: its gradients are the weights."""

    @nn.compact
    def __call__(self, images):
        weights = self.param(
            "weights", nn.initializers.normal(), (*images.shape[1:], 3)
        )
        axes = tuple(range(1, images.ndim))
        return jnp.tensordot(images, weights, axes=(axes, tuple(range(len(axes)))))


class Small(nn.Module):
    """A convolution with a rectifier of the user's own, its mean, and logits."""

    relu: str = "flax"

    @nn.compact
    def __call__(self, images, *, train=False):
        rank = images.ndim - 2
        x = nn.Conv(6, (3,) * rank, name="conv1")(images)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.relu(x) if self.relu == "flax" else jnp.maximum(x, 0)
        x = nn.Conv(5, (3,) * rank, strides=(2,) * rank, name="conv2")(x)
        x = nn.relu(x).mean(axis=tuple(range(1, rank + 1)))
        return nn.Dense(3, name="head")(x)


def made(model, *shape, seed=0):
    images = jax.random.normal(jax.random.key(seed), shape)
    return model, jax.jit(model.init)(jax.random.key(1), images), images


LINEAR = made(Linear(), 2, 4, 4, 1)
SMALL = made(Small(), 2, 8, 8, 2)


def weights_of(klass):
    return np.asarray(LINEAR[1]["params"]["weights"][..., klass])


def test_gradients_of_a_linear_model_are_its_weights():
    expected = np.broadcast_to(weights_of(1), LINEAR[2].shape)
    np.testing.assert_allclose(interpret.input_gradient(*LINEAR, 1), expected)
    np.testing.assert_allclose(interpret.saliency(*LINEAR, 1), np.abs(expected))
    found = interpret.gradient_times_input(*LINEAR, 1)
    np.testing.assert_allclose(found, expected * np.asarray(LINEAR[2]))


@pytest.mark.parametrize(("rule", "steps"), [("gauss_legendre", 1), ("trapezoid", 2)])
def test_integrated_gradients_of_a_linear_model(rule, steps):
    found = interpret.integrated_gradients(
        *LINEAR, 2, baseline=0.5, rule=rule, steps=steps
    )
    expected = weights_of(2) * (np.asarray(LINEAR[2]) - 0.5)
    np.testing.assert_allclose(found.attributions, expected, atol=1e-6)
    np.testing.assert_allclose(found.gap, 0, atol=1e-6)
    change = np.asarray(expected).sum((1, 2, 3))
    np.testing.assert_allclose(found.change, change, atol=1e-6)


@pytest.mark.thorough
def test_integrated_gradients_are_complete_with_enough_steps():
    """Of a cubic two points of Gauss and Legendre suffice, however the steps fall."""

    def cubic(outputs):
        return outputs[:, 0] ** 3

    few = interpret.integrated_gradients(*LINEAR, cubic, steps=1)
    assert np.abs(few.gap / few.change).min() > 0.1
    for batch_size in (2, 5):
        enough = interpret.integrated_gradients(
            *LINEAR, cubic, steps=3, batch_size=batch_size
        )
        np.testing.assert_allclose(enough.gap, 0, atol=1e-7)


@pytest.mark.thorough
def test_smooth_grad_is_a_function_of_its_key():
    key = jax.random.key(3)
    one = interpret.smooth_grad(*SMALL, key, 1, samples=5, batch_size=4)
    same = interpret.smooth_grad(*SMALL, key, 1, samples=5, batch_size=100)
    np.testing.assert_allclose(one, same, atol=1e-6)
    other = interpret.smooth_grad(*SMALL, jax.random.key(4), 1, samples=5)
    assert np.abs(one - other).max() > 1e-3
    still = interpret.smooth_grad(*SMALL, key, 1, samples=2, noise=0.0)
    np.testing.assert_allclose(still, interpret.input_gradient(*SMALL, 1), atol=1e-6)
    square = interpret.smooth_grad(*SMALL, key, 1, samples=2, noise=0, square=True)
    np.testing.assert_allclose(square, np.square(still), atol=1e-6)


def test_occlusion_of_a_linear_model_by_hand():
    """A window takes from the score what its pixels added."""
    model, variables, images = LINEAR
    found = interpret.occlusion(model, variables, images, 0, window=2, stride=2)
    parts = (
        (weights_of(0) * np.asarray(images))[..., 0].reshape(2, 2, 2, 2, 2).sum((2, 4))
    )
    expected = np.repeat(np.repeat(parts, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.thorough
def test_windows_overlap_and_reach_beyond_the_border():
    """Of five positions, windows of two at 0, 1, ... and of three at 0, 2."""
    model, variables, images = made(Linear(), 1, 5, 1)
    parts = np.asarray(variables["params"]["weights"][..., 1] * images[0])[:, 0]
    pairs = np.array([parts[k : k + 2].sum() for k in range(4)])
    expected = [pairs[0], *(pairs[:-1] + pairs[1:]) / 2, pairs[3]]
    found = interpret.occlusion(model, variables, images, 1, window=2, stride=1)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    a, b = parts[:4].sum(), parts[3:].sum()
    found = interpret.occlusion(model, variables, images, 1, window=4, stride=3)
    expected = [a, a, a, (a + b) / 2, b]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("relu", ["flax", "own"])
@pytest.mark.thorough
def test_guided_backpropagation_by_hand(relu):
    """The rule of the paper, written out backwards through the two ReLUs."""
    model, variables, images = made(Small(relu=relu), 2, 8, 8, 2)

    def until(path):
        return jaxcnn.capture(model, variables, images, [path])[path]

    def apart(path, module, x):
        return module.apply({"params": variables["params"][path]}, x)

    before2 = until("conv2")
    head = variables["params"]["head"]["kernel"][:, 1] / 16  # a mean of 4 x 4
    back = jnp.broadcast_to(head, before2.shape)
    back = jnp.where((before2 > 0) & (back > 0), back, 0)
    conv2 = nn.Conv(5, (3, 3), strides=(2, 2))
    before1 = until("norm")
    _, pull = jax.vjp(lambda x: apart("conv2", conv2, x), nn.relu(before1))
    (back,) = pull(back)
    back = jnp.where((before1 > 0) & (back > 0), back, 0) / jnp.sqrt(1 + 1e-5)
    _, pull = jax.vjp(lambda x: apart("conv1", nn.Conv(6, (3, 3)), x), images)
    found = interpret.guided_backpropagation(model, variables, images, 1)
    np.testing.assert_allclose(found, pull(back)[0], atol=1e-6)


GUIDED = {
    "relu": nn.relu,
    "jit": jax.jit(nn.relu),
    "remat": jax.checkpoint(nn.relu),
    "maximum": lambda x: jnp.maximum(0.0, x),
    "zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    "cond": lambda x: jax.lax.cond(x.sum() > 0, nn.relu, jnp.sin, x),
    "relu6": nn.relu6,
}


@pytest.mark.parametrize("name", GUIDED)
def test_rectifiers_are_found_wherever_they_are(name):
    x, weights = jnp.array([3.0, 3, -2, -1.5]), jnp.array([1.0, -1, 1, -1])

    def function(x):
        return (GUIDED[name](x) * weights).sum()

    guided = interpret.with_guided_relus(function)
    assert guided(x) == function(x)
    for compile in (lambda f: f, jax.jit):
        np.testing.assert_array_equal(compile(jax.grad(guided))(x), [1, 0, 0, 0])
    assert jax.grad(function)(x).tolist() == [1, -1, 0, 0]


def test_rectifiers_in_a_loop_are_found():
    def function(x):
        def double(x, _):
            return 2 * nn.relu(x), None

        return (jax.lax.scan(double, x, length=3)[0] * jnp.array([1.0, -1])).sum()

    guided = interpret.with_guided_relus(function)
    assert jax.grad(guided)(jnp.array([2.0, 2])).tolist() == [8, 0]


@pytest.mark.parametrize("name", ["silu", "mish", "leaky_relu", "elu", "hard_swish"])
def test_smooth_rectifiers_keep_their_own_derivative(name):
    activation = jaxcnn.layers.ACTIVATIONS[name]
    x, weights = jnp.array([2.0, 2, -0.5]), jnp.array([1.0, -1, 1])

    def function(x):
        return (activation(x) * weights).sum()

    expected = jax.grad(function)(x) * jnp.array([1, 0, 1])
    found = jax.grad(interpret.with_guided_relus(function))(x)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_smooth_rectifiers_are_left_alone_beside_relus():
    def function(x):
        return (nn.silu(nn.relu(x)) * jnp.array([-1.0])).sum()

    x = jnp.array([2.0])
    plain = interpret.with_guided_relus(function)
    assert jax.grad(plain)(x) == 0  # what comes to the ReLU is negative
    function = lambda x: -nn.relu(-nn.silu(x)).sum() + nn.silu(x).sum()  # noqa: E731
    np.testing.assert_allclose(
        jax.grad(interpret.with_guided_relus(function))(x), jax.grad(nn.silu)(2.0)
    )


def test_a_model_without_rectifiers_cannot_be_guided():
    with pytest.raises(ValueError, match="applies no ReLU that could be guided"):
        interpret.guided_backpropagation(*LINEAR)


@pytest.mark.thorough
def test_the_target_is_a_class_or_a_function():
    top = SMALL[0].apply(*SMALL[1:]).argmax(axis=1)
    for same in (top, [int(k) for k in top]):
        np.testing.assert_allclose(
            interpret.saliency(*SMALL), interpret.saliency(*SMALL, jnp.asarray(same))
        )
    one = interpret.saliency(*SMALL, 2)
    np.testing.assert_array_equal(
        one, interpret.saliency(*SMALL, lambda out: out[:, 2])
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "target=3 is no class: there are 0 to 2"),
        (-1, "target=-1 is no class"),
        (np.array([0, 9]), "target=9 is no class"),
        (np.array([0, 1, 2]), r"target must be a class, \[2\] classes, a function"),
        (0.5, r"target must be a class, \[2\] classes"),
        (lambda out: out, r"must give one number an image, \[2\], got \[2, 3\]"),
    ],
)
def test_targets_that_are_none(target, message):
    for function in (interpret.saliency, interpret.grad_cam):
        with pytest.raises(ValueError, match=message):
            function(*SMALL, target)


class Maps(nn.Module):
    """No classifier: it returns two maps."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3), name="conv")(images))
        return nn.Conv(2, (1, 1), name="out")(x)


@pytest.mark.thorough
def test_models_without_logits_need_a_function():
    asked = made(Maps(), 2, 6, 6, 1)
    with pytest.raises(ValueError, match=r"Maps returns \[2, 6, 6, 2\], no logits"):
        interpret.saliency(*asked)
    with pytest.raises(ValueError, match="give as target a function"):
        interpret.grad_cam(*asked, 1)
    found = interpret.grad_cam(*asked, lambda out: out[:, 3, 3, 0], layers="conv")
    assert found.shape == (2, 6, 6)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("integrated_gradients", {"rule": "simpson"}, "rule='simpson' is unknown"),
        ("integrated_gradients", {"steps": 0}, "steps must be a whole number"),
        (
            "integrated_gradients",
            {"rule": "trapezoid", "steps": 1},
            "steps must be a whole number of at least 2",
        ),
        ("integrated_gradients", {"baseline": np.ones(7)}, "does not fit images"),
        ("integrated_gradients", {"batch_size": 0}, "batch_size must be"),
        ("occlusion", {"window": 9}, r"window must be one number or 2, at most"),
        ("occlusion", {"window": (2, 2, 2)}, r"those of the image, \(8, 8\)"),
        ("occlusion", {"window": 2, "stride": 3}, "at most those of the window"),
        ("occlusion", {"window": 0}, "window must be a whole number of at least 1"),
        ("occlusion", {"baseline": np.ones(7)}, "does not fit images"),
        ("guided_backpropagation", {"target": 5}, "target=5 is no class"),
    ],
)
def test_options_out_of_range(function, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(interpret, function)(*SMALL, **options)


def test_smooth_grad_out_of_range():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="samples must be a whole number"):
        interpret.smooth_grad(*SMALL, key, samples=0)
    with pytest.raises(ValueError, match="noise must be a number of at least 0"):
        interpret.smooth_grad(*SMALL, key, noise=-1)


def test_pixel_maps():
    values = jnp.array([[[1.0, -3.0], [2.0, 2.0]]])
    assert interpret.pixel_map(values).tolist() == [[3, 2]]
    assert interpret.pixel_map(values, "sum").tolist() == [[-2, 4]]
    assert interpret.pixel_map(values, "mean").tolist() == [[2, 2]]
    with pytest.raises(
        ValueError, match=r"channels='summ' is unknown\. Did you mean 'sum'"
    ):
        interpret.pixel_map(values, "summ")


@pytest.mark.thorough
def test_methods_by_name():
    found = interpret.attribution_map("occlusion", *SMALL, 1, window=4)
    np.testing.assert_array_equal(found, interpret.occlusion(*SMALL, 1, window=4))
    with pytest.raises(
        ValueError, match=r"Unknown method 'gradcam'\. Did you mean 'grad_"
    ):
        interpret.attribution_map("gradcam", *SMALL)
    with pytest.raises(
        ValueError, match=re.escape("'saliency' has no argument 'steps'")
    ):
        interpret.attribution_map("saliency", *SMALL, steps=3)


def test_integers_are_scaled_and_preprocessed():
    model, variables, _ = LINEAR
    stored = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
    floats = interpret.gradient_times_input(
        model, variables, stored / np.float32(255), 0
    )
    found = interpret.gradient_times_input(model, variables, stored, 0)
    np.testing.assert_allclose(found, floats, rtol=1e-6)
    found = interpret.gradient_times_input(
        model, variables, stored, 0, preprocess=lambda x: x.astype(jnp.float32)
    )
    np.testing.assert_allclose(found, 255 * floats, rtol=1e-5)


@pytest.mark.thorough
def test_stored_statistics_are_used():
    """One image's map does not depend on the others of its batch."""
    model, variables, images = SMALL
    both = interpret.saliency(*SMALL, 0)
    alone = interpret.saliency(model, variables, images[:1], 0)
    np.testing.assert_allclose(both[:1], alone, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 12, 2), (2, 6, 6, 6, 1)])
@pytest.mark.thorough
def test_sequences_and_volumes(shape):
    asked = made(Small(), *shape)
    for method in ("grad_cam", "occlusion", "guided_backpropagation"):
        found = interpret.attribution_map(method, *asked)
        assert found.shape == shape[:-1]
        assert np.abs(found).max() > 0
